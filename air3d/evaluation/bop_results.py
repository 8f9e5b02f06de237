"""Writes inferred scenes as the lines of BOP's results file: scene_id,im_id,obj_id,score,R,t,time.

Format: github.com/thodan/bop_toolkit, docs/bop_challenge_2019.md, section 3. R is row after row, t in millimetres;
the time in seconds is the same for all objects of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.export.bop_models import BopObject, bop_pose
from air3d.evaluation.answers import Answers

HEADER = "scene_id,im_id,obj_id,score,R,t,time"


def result_lines(
    answers: Answers,
    score: NDArray[np.float64],
    first: int,
    images_per_scene: int,
    objects: Mapping[str, BopObject],
) -> Iterator[str]:
    """Make the lines, without line ends, image after image, the surest object first.

    Args:
        score: (B, N), see `air3d.evaluation.scores`.
        first: the number of the sample that the first answer explains.
        images_per_scene: how many samples each of BOP's scenes but the last has.
        objects: BOP's objects by kind; inferred objects of other kinds are left out.
    """
    for row, scene in enumerate(answers.scenes.to_scenes()):
        number, image = divmod(first + row, images_per_scene)
        scores = score[row, answers.scenes.present[row]]
        view = scene.camera.sized(1, 1).eye_pose()
        for n in np.argsort(-scores, kind="stable").tolist():
            item = scene.objects[n]
            known = objects.get(item.kind)
            if known is None:
                continue
            pose = bop_pose(known, view @ item.frame())
            rotation, shift = (" ".join(map(repr, values)) for values in pose)
            sure, seconds = float(scores[n]), answers.seconds_per_image
            yield f"{number},{image},{known.number},{sure!r},{rotation},{shift},{seconds!r}"
