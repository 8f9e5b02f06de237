"""Weights are taken over from a model of other scenes, as far as they fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.scene3d.presets import tabletop_prior
from air3d.scenes.kind_codes import KIND_PICTURES, draw_kinds
from air3d.scenes.model import SceneModel
from air3d.scenes.step_guide import StepGuideConfig
from air3d.training.config import TabletopTrainConfig
from air3d.training.scenes import new_model, take_over, train

SIZES = StepGuideConfig(
    image_size=32, camera_widths=(4, 4, 4), camera_code=8, widths=(4, 4, 4), head=8, window=8, glimpse=8,
    azimuth_components=2, kind_code=4,
)  # fmt: skip
CONFIG = TabletopTrainConfig(iterations=1, batch=2, guide=SIZES, learning_rate=1e-9, warm_up=0)


def model(seed: int = 0, kind_code: int = 4, **prior: Any) -> SceneModel[Any]:
    config = replace(CONFIG, seed=seed, guide=replace(SIZES, kind_code=kind_code))
    return new_model(config, tabletop_prior(**{"kinds": ("mug", "plate"), "max_objects": 2, **prior}))


def test_the_same_scenes_take_all() -> None:
    new, old = model(0, max_objects=1), model(1)
    assert take_over(new, old) == []
    for name, tensor in old.guide.state_dict().items():
        assert torch.equal(new.guide.state_dict()[name], tensor), name


@pytest.mark.parametrize("kinds", [("bowl", "plate"), ("mug", "plate", "bowl")])
def test_other_kinds_take_all_but_their_pictures(kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the codes of kinds is taken over; the pictures are drawn when training begins."""
    monkeypatch.setattr("air3d.training.scenes._MEAN_DREAMS", 4)
    new, old = model(0, kinds=kinds), model(1)
    old.guide.kind_codes.pictures += 3
    old.guide.mean_image += 0.5
    assert take_over(new, old) == ["kind_codes"]
    for name, tensor in old.guide.state_dict().items():
        assert name == KIND_PICTURES or torch.equal(new.guide.state_dict()[name], tensor), name
    assert not new.guide.kind_codes.pictures.any()
    with make_renderer(new.render_config, "raster") as renderer:
        train(new, None, renderer, CONFIG, None, {}, lambda record: None)
        assert np.array_equal(new.guide.kind_codes.pictures.numpy(), draw_kinds(renderer, kinds))
    assert torch.equal(new.guide.mean_image, old.guide.mean_image), "the network was trained with that mean"


def test_numbered_kinds_need_heads_of_their_own() -> None:
    new, old = model(0, 0, kinds=("mug", "plate", "bowl")), model(1, 0)
    assert take_over(new, old) == ["kind_head", "pose_head"]
    swapped = model(0, 0, kinds=("plate", "mug"))
    assert take_over(swapped, old) == ["kind_head", "pose_head"], "as many, but others"
    for name in ("trunk.down.0.weight", "window.layers.0.weight", "place_head.weight", "camera_head.0.weight"):
        assert torch.equal(new.guide.state_dict()[name], old.guide.state_dict()[name]), name


def test_other_poses_begin_the_pose_anew() -> None:
    new, old = model(0), model(1, pose="settled")
    before = new.guide.state_dict()["pose_head.layers.2.weight"].clone()
    assert take_over(new, old) == ["pose_head"]
    assert torch.equal(new.guide.state_dict()["pose_head.layers.2.weight"], before)


def test_a_guide_with_depth_sees_at_first_what_one_without_saw() -> None:
    """Same answers to pictures without depth, of another size where the layers allow it."""
    old = model(1)
    config = replace(CONFIG, guide=replace(SIZES, depth=True))
    new = new_model(config, old.prior)
    assert take_over(new, old) == []
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    with make_renderer(old.render_config, "raster") as renderer:
        assert list(new.infer(images, renderer).scenes) == list(old.infer(images, renderer).scenes)
        before, after = (each.sample(images, renderer, 2, torch.Generator().manual_seed(0)) for each in (old, new))
    assert torch.equal(before.log_weight, after.log_weight)
    larger = new_model(replace(CONFIG, guide=replace(SIZES, image_size=(48, 40))), old.prior)
    old.guide.mean_image += 0.5
    assert take_over(larger, old) == ["camera_encoder", "mean_image", "second_encoder"]
    assert not larger.guide.mean_image.any()
    for name in ("camera_encoder.convolutions.0.weight", "trunk.down.0.weight", "camera_head.0.weight"):
        assert torch.equal(larger.guide.state_dict()[name], old.guide.state_dict()[name]), name
