"""Writes inferred scenes as COCO's results: image_id, category_id, bbox, segmentation and score of each visible object.

Format: cocodataset.org/#format-results. Boxes and masks are those of the visible part of an object in the rendered
answer, as `air3d.datasets.export.coco` writes those of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from air3d.datasets.export.coco import instance
from air3d.evaluation.answers import Answers
from air3d.renderers.protocol import Renderer


def result_rows(
    answers: Answers, first: int, renderer: Renderer, categories: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Make the rows, image after image, the surest object first.

    Args:
        first: the number of the sample that the first answer explains.
        renderer: draws the answers at the size of the images.
        categories: the number of each kind; inferred objects of other kinds are left out.
    """
    scenes = answers.scenes
    drawn = renderer.render_segmentation(scenes)
    for row in range(len(scenes)):
        for slot in np.argsort(-answers.presence[row], kind="stable").tolist():
            number = categories.get(scenes.kinds[scenes.kind[row, slot]]) if scenes.present[row, slot] else None
            found = None if number is None else instance(drawn[row] == slot + 1)
            if found is not None:
                score = float(answers.presence[row, slot])
                yield {"image_id": first + row, "category_id": number, **found, "score": score}
