"""Latents and scenes: an exact round trip, inside the prior's support; and what is no tabletop."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from air3d.datasets.image_size import ImageSize
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.camera_prior import CameraBox, CameraBoxes, CameraPrior
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Lamp, Light
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.view import Pinhole

FIXED = CameraPrior(elevation_rad=(0.7, 0.7), distance_m=(1.0, 1.0), look_at_m=(0.01, -0.02, 0.03))
PRIORS = {
    "plain": tabletop_prior(),
    "perturbed": tabletop_prior(perturb=True),
    "six": tabletop_prior(tuple(CATALOG)[:6], 1, 4, perturb=True),
    "scale alone": replace(tabletop_prior(), perturb=Perturbation(scale=0.2)),
    "colour alone": replace(tabletop_prior(), perturb=Perturbation(colour=0.3)),
    "light alone": replace(tabletop_prior(), perturb=Perturbation(light_angle_rad=0.2)),
    "bright light": replace(tabletop_prior(), perturb=Perturbation(light_level=0.5), light=Light(diffuse=1.8)),
    "fixed camera": replace(tabletop_prior(), camera=FIXED),
    "other turn": replace(tabletop_prior(), camera=CameraPrior(azimuth_rad=(0.0, 2.0 * math.pi))),
}
OPEN = {
    "plain": (["camera_elevation_rad", "camera_distance_m"], []),
    "perturbed": (
        ["camera_elevation_rad", "camera_distance_m", "light_azimuth_rad", "light_elevation_rad", "light_diffuse"]
        + ["light_ambient"],
        ["scale", "r", "g", "b"],
    ),
    "light alone": (["camera_elevation_rad", "camera_distance_m", "light_azimuth_rad", "light_elevation_rad"], []),
    "colour alone": (["camera_elevation_rad", "camera_distance_m"], ["r", "g", "b"]),
    "fixed camera": ([], []),
}
ARRAYS = [f.name for f in fields(SceneBatch) if f.name not in ("kinds", "table", "textures")]


def drawn(prior: PriorConfig, size: int = 40) -> SceneBatch:
    return ScenePrior(prior).sample_batch(np.random.default_rng(1), size)


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open(name: str) -> None:
    world = World(PRIORS[name])
    assert ([known for known, _ in world.shared], list(world.appearance)) == OPEN[name]
    assert all(low < high for _, (low, high) in world.shared)


@pytest.mark.parametrize("name", PRIORS)
def test_a_round_trip_gives_the_same_scenes(name: str) -> None:
    """Through latents in float32 and back; an empty slot's other numbers mean nothing."""
    world, scenes = World(PRIORS[name]), drawn(PRIORS[name])
    latents = world.from_batch(scenes)
    assert latents.viewpoint.shares.shape == (40, len(world.shared))
    assert latents.objects.appearance.shape == (*scenes.kind.shape, len(world.appearance))
    for share in (latents.viewpoint.shares, latents.objects.appearance):
        assert ((share >= 0.0) & (share <= 1.0)).all()
    again = world.to_batch(latents)
    assert (again.kinds, again.table) == (scenes.kinds, scenes.table)
    for array in ARRAYS:
        old, new = getattr(scenes, array), getattr(again, array)
        if old.shape[:2] == scenes.kind.shape:
            old, new = old[scenes.present], new[scenes.present]
        assert new == pytest.approx(old, abs=3e-7), array
    assert np.array_equal(again.kind, scenes.kind)
    for part, same in zip((*latents.viewpoint, *latents.objects), flat(world.from_batch(again)), strict=True):
        seen = latents.objects.kind >= 0 if part.shape[:2] == scenes.kind.shape else ...
        assert torch.allclose(part[seen].float(), same[seen].float(), atol=3e-6)


def flat(latents: SceneLatents) -> tuple[torch.Tensor, ...]:
    return (*latents.viewpoint, *latents.objects)


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("share", [0.0, 1e-6, 0.5, 1.0 - 1e-6, 1.0])
def test_shares_mean_values_inside_the_priors_ranges(name: str, share: float) -> None:
    """Also at the ends, where rounding must not step outside: the prior would give the scene no density."""
    world = World(PRIORS[name])
    kinds = len(world.prior.kinds)
    viewpoint = Viewpoint(torch.full((kinds,), 0.3), torch.full((kinds, len(world.shared)), share))
    appearance = torch.full((kinds, 1, len(world.appearance)), share)
    objects = Objects.upright(torch.arange(kinds)[:, None], torch.zeros(kinds, 1, 2), torch.zeros(kinds, 1), appearance)
    scenes = world.to_batch(SceneLatents(viewpoint, objects))
    assert np.isfinite(ScenePrior(world.prior).log_prob(scenes)).all()
    for known, (low, high) in world.shared:
        assert getattr(scenes, known) == pytest.approx(np.full(kinds, low + share * (high - low)), abs=2e-7)


def test_batches_of_any_shape_are_flattened_in_order() -> None:
    world, scenes = World(PRIORS["perturbed"]), drawn(PRIORS["perturbed"], 24)
    latents = world.from_batch(scenes)
    folded = SceneLatents(
        Viewpoint(*(part.reshape(4, 6, *part.shape[1:]) for part in latents.viewpoint)),
        Objects(*(part.reshape(4, 6, *part.shape[1:]) for part in latents.objects)),
    )
    one, other = world.to_batch(latents), world.to_batch(folded)
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def test_named_values_are_the_scenes() -> None:
    world, scenes = World(PRIORS["light alone"]), drawn(PRIORS["light alone"])
    viewpoint = world.from_batch(scenes).viewpoint
    for name in (*OPEN["perturbed"][0], "camera_fovy_rad"):
        assert world.shared_value(viewpoint, name).numpy() == pytest.approx(getattr(scenes, name), abs=3e-7), name


def test_the_view_is_the_priors_camera() -> None:
    prior = replace(tabletop_prior(), camera=replace(CameraPrior(), look_at_m=(0.01, 0.02, 0.03)))
    world, scenes = World(prior), drawn(prior)
    view = world.view(world.from_batch(scenes).viewpoint, ImageSize(48, 48))
    for name in ("azimuth_rad", "elevation_rad", "distance_m"):
        assert getattr(view, name).numpy() == pytest.approx(getattr(scenes, f"camera_{name}"), abs=3e-7)
    assert view.pinhole == Pinhole.of(scenes[0].camera.sized(48, 48)) and view.look_at_m == (0.01, 0.02, 0.03)
    # half the mean height of a mug of 10 cm, a plate of 2.2 cm and a bowl of 6.5 cm
    assert view.height_m == pytest.approx((0.10 + 0.022 + 0.065) / 6.0)


def test_volumes_are_those_of_the_ranges() -> None:
    """log of the product of the widths, by which a density per share becomes one per radian, metre, ..."""
    world = World(PRIORS["plain"])
    assert world.log_volume == pytest.approx(math.log(math.radians(40.0)) + math.log(0.08))
    kind = torch.tensor([[0, 1], [2, 0]])
    assert world.log_appearance_volume(kind).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    prior = replace(tabletop_prior(), perturb=Perturbation(scale=0.1, colour=0.1, light_level=0.15))
    world = World(prior)
    light = math.log(2.0 * 0.15 * 0.62) + math.log(2.0 * 0.15 * 0.40)
    assert world.log_volume == pytest.approx(math.log(math.radians(40.0)) + math.log(0.08) + light)
    # The mug's blue of 0.09 and the plate's white of 0.93 are cut to [0, 1].
    mug = math.log(0.2) + math.log(0.2) + math.log(0.2) + math.log(0.19)
    plate = math.log(0.2) + 2.0 * math.log(0.17) + math.log(0.2)
    assert world.log_appearance_volume(torch.tensor([0, 1])).tolist() == pytest.approx([mug, plate], abs=1e-5)


def test_turns_are_the_kinds_whose_yaw_is_seen() -> None:
    kinds = tuple(CATALOG)
    turns = World(tabletop_prior(kinds)).turns()
    seen = {name for name, turn in zip(kinds, turns.tolist(), strict=True) if turn}
    assert seen == {"mug", "pan", "teapot", "cube", "cylinder"}


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_no_objects(shape: tuple[int, ...]) -> None:
    world = World(PRIORS["perturbed"])
    viewpoint = Viewpoint(torch.zeros(shape), torch.full((*shape, 6), 0.5))
    none = world.no_objects(viewpoint, 4)
    assert none.kind.shape == (*shape, 4) and (none.kind == ABSENT).all()
    assert [part.shape for part in none[1:]] == [(*shape, 4, 3), (*shape, 4, 4), (*shape, 4, 4)]
    assert not world.to_batch(SceneLatents(viewpoint, none)).present.any()
    none.position_m[..., 0, :] = 1.0  # the parts share no memory
    assert (
        none.yaw_rad.abs().max() == 0.0 and (none.appearance == 0.5).all() and none.position_m[..., 1:, :].sum() == 0.0
    )


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"min_objects": 0, "max_objects": 0}, "at least one object"),
        ({"camera": CameraPrior(azimuth_rad=(-1.0, 1.0))}, "azimuth is fixed, or spans the full turn"),
        ({"camera": CameraPrior(fovy_rad=(0.6, 0.7))}, "fixed field of view"),
        ({"camera": CameraPrior(roll_rad=(-0.1, 0.1))}, "upright cameras alone"),
        ({"camera": CameraPrior(roll_rad=(0.1, 0.1))}, "upright cameras alone"),
        ({"camera": CameraPrior(aim_m=(0.0, 0.1))}, "upright cameras alone"),
        ({"camera": CameraPrior(shift_right=(0.1, 0.2))}, "fixed field of view, but shift_right varies"),
        ({"camera": CameraBoxes((CameraBox((0.0, -1.0, 0.8)),))}, "on orbits, not in boxes"),
    ],
)
def test_other_priors_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        World(replace(tabletop_prior(), **change))
    assert "\n" not in str(caught.value)


def test_scenes_of_other_kinds_are_refused() -> None:
    scenes = drawn(tabletop_prior(("mug", "plate")), 3)
    with pytest.raises(InputError, match="kinds mug, plate; the model knows mug, plate, bowl"):
        World(PRIORS["plain"]).from_batch(scenes)


def test_fixed_lamps_are_known_and_varied_ones_refused() -> None:
    prior = replace(tabletop_prior(), light=Light(lamps=(Lamp(0.1, 0.2, 0.3),)))
    batch = ScenePrior(prior).sample_batch(np.random.default_rng(0), 3)
    world = World(prior)
    assert world.to_batch(world.from_batch(batch, dtype=torch.float64)).lamps.tolist() == batch.lamps.tolist()
    with pytest.raises(InputError, match="no further lamps"):
        World(replace(prior, perturb=Perturbation(lamps=0.3)))
    with pytest.raises(InputError, match="no textures"):
        World(replace(prior, perturb=Perturbation(texture=0.3)))
