"""Answers of a model, polished."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from air3d.evaluation import answers
from air3d.scene3d.camera_prior import CameraBox, CameraBoxes
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model


def test_refinement_goes_by_the_models_own_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Likelihood(0.1, "hyperbolic")
    model: Any = replace(load_model("single-object").model, likelihood=own)

    def polish(*given: Any) -> None:
        assert any(each is own for each in given)
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "refine", polish)
    with pytest.raises(ZeroDivisionError):
        answers.answer(model, None, np.zeros((1, *model.image_size, 3), np.uint8), RefineConfig(3, candidates=0))  # type: ignore[arg-type]


def test_pictures_by_cameras_of_another_sort_do_not_fit() -> None:
    model = load_model("tabletop").model
    known = model.prior
    assert answers.misfit(known, model, model.image_size) is None
    rolled = replace(known, camera=replace(model.world.camera, roll_rad=(-0.1, 0.1)))
    boxes = replace(known, camera=CameraBoxes((CameraBox((0.0, -1.0, 0.8)),)))
    off_centre = replace(known, camera=replace(model.world.camera, shift_down=(0.1, 0.1)))
    assert "another field of view or target" in str(answers.misfit(off_centre, model))
    for prior in (rolled, boxes):
        assert "rolled, aimed beside one point or in boxes" in str(answers.misfit(prior, model))
