"""Average precision of 6D object detection, after the BOP Challenge 2024.

Detections of one kind, from all images, are sorted by confidence. In its image each takes, in that order, the true
object of its kind that is not yet taken and has the least error, if that is below a threshold; then it is right.
The average precision is COCO's: precision, made falling in recall, averaged over the recalls 0, 0.01, ..., 1. It is
averaged over ten thresholds, then over the kinds that occur (Nguyen et al., "BOP Challenge 2024 on Model-Based and
Model-Free 6D Object Pose Estimation", arXiv 2504.02812; Lin et al., "Microsoft COCO", arXiv 1405.0312).

An object of which less than a tenth is visible need not be found, and finding it is neither right nor wrong.
Equal confidences keep the order of images and slots, as in COCO.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.pose_metrics import MSPD_THRESHOLDS_PX, MSSD_FRACTIONS, REFERENCE_WIDTH_PX, PoseErrors
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The challenge's: what is less visible is ignored.
MIN_VISIBLE_FRACTION = 0.1
_RECALLS = np.linspace(0.0, 1.0, 101)


class Detections(NamedTuple):
    """Tells which detections are right, at T thresholds, in B scenes of M inferred slots.

    Attributes:
        right: (T, B, M), whether a true object was given to it.
        ignored: (T, B, M), whether that object is hardly visible, so that the detection does not count.
    """

    right: Bools
    ignored: Bools


def detection_metrics(
    truth: SceneBatch,
    inferred: SceneBatch,
    errors: PoseErrors,
    width: int,
    confidence: Floats | None = None,
    visible_fraction: Floats | None = None,
) -> dict[str, Any]:
    """Compute mssd_ap, mspd_ap and, under ap_per_kind, both for each kind that occurs; None without objects.

    Thresholds are 5 % to 50 % of the object's diameter for the MSSD, and 5 to 50 pixels of an image 640 wide for the
    MSPD, in ten steps each.

    Args:
        errors: the result of `pose_errors(truth, inferred, height)`.
        width: the width of the images, pixels.
        confidence: (B, M), for the inferred objects; default: all the same.
        visible_fraction: (B, N), the share of each true object's pixels that is seen; default: all are.

    Raises:
        InputError: for an array of another shape.
    """
    confidence = np.ones(inferred.kind.shape) if confidence is None else confidence
    visible_fraction = np.ones(truth.kind.shape) if visible_fraction is None else visible_fraction
    for name, array, shape in (
        ("confidence", confidence, inferred.kind.shape),
        ("visible_fraction", visible_fraction, truth.kind.shape),
    ):
        if array.shape != shape:
            raise InputError(f"evaluate: {name} has shape {array.shape}; it must be {shape}")
    hidden = visible_fraction < MIN_VISIBLE_FRACTION
    with np.errstate(divide="ignore"):  # the diameter of an empty slot is 0, its errors inf
        share = errors.mssd_m / errors.diameter_m[..., None]
    pixels = errors.mspd_px * REFERENCE_WIDTH_PX / width
    found = {
        "mssd_ap": assign(share, np.array(MSSD_FRACTIONS), confidence, hidden),
        "mspd_ap": assign(pixels, np.array(MSPD_THRESHOLDS_PX), confidence, hidden),
    }
    per_kind: dict[str, dict[str, float]] = {}
    for k, kind in enumerate(truth.kinds):
        targets = int(((truth.kind == k) & ~hidden).sum())
        if targets:
            own = inferred.kind == (inferred.kinds.index(kind) if kind in inferred.kinds else len(inferred.kinds))
            per_kind[kind] = {name: _mean_ap(d, own, confidence, targets) for name, d in found.items()}
    means = {name: float(np.mean([row[name] for row in per_kind.values()])) if per_kind else None for name in found}
    return {**means, "ap_per_kind": per_kind}


def assign(errors: Floats, thresholds: Floats, confidence: Floats, hidden: Bools) -> Detections:
    """Give true objects to detections, scene by scene, for each threshold.

    Args:
        errors: (B, N, M), between N true and M inferred objects; inf where they may not be paired.
        thresholds: (T,) in the unit of the errors.
        confidence: (B, M).
        hidden: (B, N), whether a true object does not count.
    """
    scenes, true_slots, slots = errors.shape
    every = np.arange(scenes)
    free = np.ones((len(thresholds), scenes, true_slots), dtype=bool)
    right = np.zeros((len(thresholds), scenes, slots), dtype=bool)
    ignored = right.copy()
    if not true_slots:
        return Detections(right, ignored)
    for slot in np.argsort(-confidence, axis=1, kind="stable").T:  # (B,), the next best detection of each scene
        error = np.where(free, errors[every, :, slot], np.inf)
        taken = error.argmin(axis=-1)
        hit = error.min(axis=-1) < thresholds[:, None]
        t, b = np.nonzero(hit)
        free[t, b, taken[t, b]] = False
        right[t, b, slot[b]] = True
        ignored[t, b, slot[b]] = hidden[b, taken[t, b]]
    return Detections(right, ignored)


def average_precision(right: Bools, targets: int) -> float:
    """COCO's average precision of detections in order of falling confidence.

    Args:
        right: (D,), whether a detection is right.
        targets: the number of objects to be found, at least 1.
    """
    hits = np.cumsum(right)
    precision = np.append(hits / np.arange(1, len(right) + 1), 0.0)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    # Each recall level takes the first point that reaches it; a level that is never reached has precision 0.
    return float(falling[np.searchsorted(hits / targets, _RECALLS)].mean())


def _mean_ap(detections: Detections, own: Bools, confidence: Floats, targets: int) -> float:
    """Average the precision over thresholds, for the detections selected by `own` (B, M)."""
    order = np.argsort(-confidence[own], kind="stable")
    rows = zip(detections.right[:, own][:, order], detections.ignored[:, own][:, order], strict=True)
    return float(np.mean([average_precision(right[~ignored], targets) for right, ignored in rows]))
