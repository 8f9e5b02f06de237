"""Writes inferred scenes as COCO's results: image_id, category_id, bbox, segmentation and score of each visible object.

Format: cocodataset.org/#format-results. Boxes and masks are those of the visible part of an object in the rendered
answer, as `air3d.datasets.export.coco` writes those of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.export.coco import instance
from air3d.evaluation.answers import Answers
from air3d.renderers.protocol import Renderer


def result_rows(
    answers: Answers, score: NDArray[np.float64], first: int, renderer: Renderer, categories: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Make the rows, image after image, the surest object first.

    Args:
        score: (B, N), see `air3d.evaluation.scores`.
        first: the number of the sample that the first answer explains.
        renderer: draws the answers at the size of the images.
        categories: the number of each kind; inferred objects of other kinds are left out.
    """
    scenes = answers.scenes
    drawn = renderer.render_segmentation(scenes)
    for row in range(len(scenes)):
        for slot in np.argsort(-score[row], kind="stable").tolist():
            number = categories.get(scenes.kinds[scenes.kind[row, slot]]) if scenes.present[row, slot] else None
            found = None if number is None else instance(drawn[row] == slot + 1)
            if found is not None:
                sure = float(score[row, slot])
                yield {"image_id": first + row, "category_id": number, **found, "score": sure}
