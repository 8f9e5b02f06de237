"""Answers of a model, polished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air3d.evaluation import answers
from air3d.scene3d.camera_prior import CameraBox, CameraBoxes
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.own_kinds import compact, install, own_path
from air3d.scene3d.presets import tabletop_prior
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.refine import RefineConfig
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.store import load_model

OWN = Path(__file__).resolve().parent.parent.parent / "own" / "pyramid.toml"
PARTS = ("inference.obj", "display.obj")


def test_refinement_goes_by_the_models_own_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Likelihood(0.1, "hyperbolic")
    model: Any = replace(load_model("single-object").model, likelihood=own)

    def polish(*given: Any) -> None:
        assert any(each is own for each in given)
        raise ZeroDivisionError

    monkeypatch.setattr("air3d.scenes.polish.refine", polish)
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


def test_kinds_of_one_file_are_alike_however_they_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "cache"))
    (pyramid,) = resolve_kinds(("pyramid",), OWN)
    small = compact(pyramid)
    assert small != pyramid
    prior = tabletop_prior((small, "mug"), 0, 2, True, False)
    model = SceneModel.of(prior, StepGuideConfig(image_size=32), Likelihood())
    theirs = replace(prior, kinds=("mug", pyramid))
    assert answers.twins(prior.kinds, theirs.kinds) == {small: pyramid, "mug": "mug"}
    assert answers.misfit(theirs, model) is None
    place = answers.place_of(model, theirs, "data", "model")
    assert place.prior.kinds == (pyramid, "mug") and place.guide.world.prior.kinds == (pyramid, "mug")
    assert model.prior.kinds == (small, "mug"), "the model itself stays"
    assert answers.place_of(model, prior, "data", "model") is model
    # Larger by a tenth: another kind, whatever its name.
    parts = {part: own_path(pyramid, "meshes", f"{pyramid}.{part}").read_bytes() for part in PARTS}
    larger = {part: enlarged(content) for part, content in parts.items()}
    other = install(replace(get_kind(pyramid), name="pyramid", texture=None, inference_texture=None), larger)
    assert "objects of kind pyramid@" in str(answers.misfit(replace(prior, kinds=(other, "mug")), model))
    renamed = install(replace(get_kind(pyramid), name="tent", texture=None, inference_texture=None), parts)
    assert "objects of kind tent@" in str(answers.misfit(replace(prior, kinds=(renamed, "mug")), model))


def enlarged(obj: bytes) -> bytes:
    """An OBJ file whose corners are a tenth farther from the origin."""
    lines = obj.decode().splitlines()
    moved = [
        "v " + " ".join(f"{1.1 * float(x):.6f}" for x in line.split()[1:]) if line.startswith("v ") else line
        for line in lines
    ]
    return ("\n".join(moved) + "\n").encode()
