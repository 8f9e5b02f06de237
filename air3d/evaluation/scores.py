"""Scores of inferred objects for detection: how sure the network was, times how well the object's own pixels fit.

The probability with which a network saw an object says that something of the kind is there. Whether the pose is right,
a render tells: the pixels that the object covers, and those beside its outline, are alike in the picture and the
answer, or they are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_dilation

from air3d.scene3d.batch import SceneBatch

# The mean squared error of a pixel, values in [0, 1] summed over channels, at which a score falls to 1 / e.
_ERROR = 0.1
# How far beside its outline an object's pixels reach, as a share of the picture's height.
_BESIDE = 1.0 / 64.0


def detection_scores(
    images: NDArray[np.uint8],
    renders: NDArray[np.uint8],
    segmentation: NDArray[np.uint8],
    scenes: SceneBatch,
    presence: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score the objects of B answers: (B, N), at most their presence; 0 for an empty slot.

    Args:
        images, renders: (B, H, W, 3), the pictures and the rendered answers.
        segmentation: (B, H, W), the answers' instance numbers; 0 for what is no object.
        presence: (B, N), the probability with which each object was seen.
    """
    error = np.square((images / 255.0) - (renders / 255.0)).sum(-1)
    beside = max(round(_BESIDE * images.shape[1]), 1)
    size, scores = 2 * beside + 1, np.zeros(presence.shape)
    for b, n in zip(*np.nonzero(scenes.present), strict=True):
        own = segmentation[b] == n + 1
        around = grey_dilation(own.astype(np.uint8), size=(size, size)) > 0
        misfit = error[b][around].sum() / max(np.count_nonzero(own), 1)
        scores[b, n] = presence[b, n] * np.exp(-misfit / _ERROR)
    return scores
