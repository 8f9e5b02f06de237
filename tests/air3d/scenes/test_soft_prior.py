"""The prior with soft edges: the prior itself where a scene is allowed, and a stated cost where it is not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from air3d.scene3d.batch import ABSENT
from air3d.scene3d.catalog import CROCKERY, get_kind
from air3d.scene3d.placement import draw_arrangements, free_of_overlap
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import Perturbation, ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, World
from air3d.scenes.soft_prior import nested_log_prior, object_log_prior, overlap_m, scene_log_prior

PRIORS = {
    "plain": tabletop_prior(),
    "no repeat": tabletop_prior(repeat=False),
    "perturbed": tabletop_prior(("mug", "glass", "pan"), 1, 3, perturb=True),
    "six, no repeat": tabletop_prior(CROCKERY, 0, 3, repeat=False, perturb=True),
    "one": tabletop_prior(min_objects=1, max_objects=1),
    "one, all else known": single_prior(),
    "known camera": replace(tabletop_prior(), camera=single_prior().camera),
}


@pytest.mark.parametrize("name", PRIORS)
def test_it_is_the_prior_but_for_the_probability_of_no_overlap(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that normaliser set to 1, both are equal on every scene of the prior."""
    monkeypatch.setattr("air3d.scene3d.pose_models.log_free_probability", lambda *arguments: 0.0)
    world = World(PRIORS[name])
    scenes = ScenePrior(world.prior).sample_batch(np.random.default_rng(2), 60)
    assert set(scenes.present.sum(1).tolist()) == set(range(world.prior.min_objects, world.prior.max_objects + 1))
    expected = ScenePrior(world.prior).log_prob(scenes)
    assert np.isfinite(expected).all()
    assert scene_log_prior(world, world.from_batch(scenes)).numpy() == pytest.approx(expected, abs=1e-3)


def test_families_are_alike_however_many_variants_they_have() -> None:
    """One object at a time: the two priors are equal, and a cube is twice as likely as either of two mugs."""
    world = World(tabletop_prior(("mug~1", "mug~2", "cube"), 1, 1))
    scenes = ScenePrior(world.prior).sample_batch(np.random.default_rng(2), 30)
    assert set(scenes.kind[:, 0].tolist()) == {0, 1, 2}
    found = scene_log_prior(world, world.from_batch(scenes)).numpy()
    assert found == pytest.approx(ScenePrior(world.prior).log_prob(scenes), abs=1e-3)
    mug, cube = (float(found[scenes.kind[:, 0] == kind].mean()) for kind in (0, 2))
    assert cube - mug == pytest.approx(math.log(2.0), abs=1e-3)


def test_that_of_one_object_under_a_known_camera_is_the_prior_itself() -> None:
    """One object has nothing to overlap with, so that the normaliser is one."""
    world = World(single_prior())
    scenes = ScenePrior(world.prior).sample_batch(np.random.default_rng(2), 60)
    expected = -math.log(3.0) - world.prior.table.place.log_area - math.log(2.0 * math.pi)
    assert scene_log_prior(world, world.from_batch(scenes)).numpy() == pytest.approx(np.full(60, expected), abs=1e-5)
    assert ScenePrior(world.prior).log_prob(scenes) == pytest.approx(np.full(60, expected))


@pytest.mark.parametrize("name", ["plain", "no repeat", "perturbed"])
def test_partial_scenes_of_any_batch_shape(name: str) -> None:
    """Column n is log p of the first n objects; a scene of fewer stays what it is."""
    world = World(replace(PRIORS[name], min_objects=0))
    scenes = world.from_batch(ScenePrior(world.prior).sample_batch(np.random.default_rng(6), 12))
    viewpoint, objects = (type(p)(*(x.unflatten(0, (3, 4)) for x in p)) for p in scenes)
    found = nested_log_prior(world, SceneLatents(viewpoint, objects))  # type: ignore[arg-type]
    assert found.shape == (3, 4, 4)
    for n in range(4):
        kind = scenes.objects.kind.masked_fill(torch.arange(3) >= n, ABSENT)
        partial = scenes._replace(objects=scenes.objects._replace(kind=kind))
        assert torch.allclose(found[..., n].flatten(), scene_log_prior(world, partial), atol=1e-4)


def test_the_normaliser_is_one_for_each_multiset_of_kinds() -> None:
    world = World(tabletop_prior(("mug", "bowl"), max_objects=2))
    scenes = ScenePrior(world.prior).sample_batch(np.random.default_rng(3), 80)
    gap = ScenePrior(world.prior).log_prob(scenes) - scene_log_prior(world, world.from_batch(scenes)).numpy()
    sets = np.sort(scenes.kind, axis=1)
    for row in np.unique(sets, axis=0):
        same = gap[(sets == row).all(axis=1)]
        assert np.ptp(same) < 2e-3
        if (row != ABSENT).sum() < 2:
            assert same == pytest.approx(np.zeros(len(same)), abs=1e-3)
        else:
            assert (same > 0.05).all(), "allowed scenes are denser for what is forbidden"


@pytest.mark.parametrize("name", ["plain", "perturbed", "six, no repeat"])
def test_the_overlap_is_nothing_exactly_where_the_prior_allows(name: str) -> None:
    """At the largest size and with the gap, over arrangements of three; the last against the first two, and so on."""
    world = World(PRIORS[name])
    rng, count = np.random.default_rng(4), 600
    kind = rng.integers(len(world.prior.kinds), size=(count, 3))
    position, yaw = draw_arrangements(rng, count, 3, world.prior.table.place)
    objects = Objects.upright(
        torch.from_numpy(kind),
        torch.from_numpy(position),
        torch.from_numpy(yaw),
        torch.zeros(count, 3, len(world.appearance)),
    )
    depth = []
    for slot in range(3):
        done = objects._replace(kind=objects.kind.masked_fill(torch.arange(3) >= slot, ABSENT))
        depth.append(overlap_m(world, Objects(*(part[:, slot : slot + 1] for part in objects)), done)[:, 0].numpy())
    assert (depth[0] == 0.0).all()
    free = np.array([
        free_of_overlap(
            tuple(world.prior.kinds[k] for k in kind[i]), position[i : i + 1], yaw[i : i + 1],
            world.prior.largest_scale, world.prior.gap_m,
        )[0]
        for i in range(count)
    ])  # fmt: skip
    assert 0.05 < free.mean() < 0.95
    sure = np.max(depth, axis=0)
    assert np.array_equal(sure == 0.0, free)


def test_the_depth_of_two_round_objects() -> None:
    """Sum of the radii at the largest scale, and the gap, less the distance of the centres."""
    world = World(replace(tabletop_prior(("bowl", "plate")), perturb=Perturbation(scale=0.1), gap_m=0.01))
    distance = torch.tensor([0.0, 0.1, 0.19, 0.25])
    one = Objects.upright(torch.tensor([[1]]), torch.zeros(1, 1, 2), torch.zeros(1, 1), torch.zeros(1, 1, 1))
    others = Objects.upright(
        torch.zeros(1, 4, dtype=torch.int64),
        torch.stack([0.6 * distance, 0.8 * distance], -1)[None],
        torch.ones(1, 4),
        torch.zeros(1, 4, 1),
    )
    reach = 1.1 * (get_kind("bowl").footprint[0].radius_m + get_kind("plate").footprint[0].radius_m) + 0.01
    expected = np.maximum(reach - distance.numpy(), 0.0)
    assert overlap_m(world, others, one)[0].numpy() == pytest.approx(expected, abs=1e-6)
    assert (overlap_m(world, others, one._replace(kind=torch.tensor([[ABSENT]]))) == 0.0).all()


def test_a_handle_reaches_where_it_points() -> None:
    """A mug's handle is a disc of 2.6 cm, 6 cm along its yaw."""
    world = World(tabletop_prior(("mug", "bowl")))
    bowl = Objects.upright(torch.tensor([[1]]), torch.zeros(1, 1, 2), torch.zeros(1, 1), torch.zeros(1, 1, 0))
    towards = torch.tensor([[0.0, math.pi]])
    mugs = Objects.upright(
        torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[[-0.15, 0.0]]]).expand(1, 2, 2), towards,
        torch.zeros(1, 2, 0),
    )  # fmt: skip
    handle = 0.026 + 0.075 + 0.004 - (0.15 - 0.06)
    assert overlap_m(world, mugs, bowl)[0].numpy() == pytest.approx([handle, 0.0], abs=1e-6)


def candidates(world: World, kind: int, x_m: float) -> Objects:
    return Objects.upright(
        torch.tensor([[kind]]),
        torch.tensor([[[x_m, 0.0]]]),
        torch.zeros(1, 1),
        torch.zeros(1, 1, len(world.appearance)),
    )


def test_what_is_wrong_costs_as_under_a_gaussian_of_a_centimetre() -> None:
    world = World(tabletop_prior(("bowl", "plate"), repeat=False, max_objects=2))
    none = candidates(world, ABSENT, 0.0)
    flat = -math.log(math.pi * 0.2**2) - math.log(2.0 * math.pi)
    assert float(object_log_prior(world, candidates(world, 0, 0.19), none)) == pytest.approx(flat - math.log(2.0))
    for off in (0.01, 0.03):
        value = float(object_log_prior(world, candidates(world, 0, 0.2 + off), none))
        assert value == pytest.approx(flat - math.log(2.0) - 0.5 * (off / 0.01) ** 2, abs=1e-3)
    bowl = candidates(world, 0, -0.1)
    beside = float(object_log_prior(world, candidates(world, 1, 0.1), bowl))
    assert beside == pytest.approx(flat), "one of the two kinds is left"
    depth = 0.075 + 0.1 + 0.004 - 0.16
    assert float(object_log_prior(world, candidates(world, 1, 0.06), bowl)) == pytest.approx(
        flat - 0.5 * (depth / 0.01) ** 2, abs=1e-3
    )
    assert float(object_log_prior(world, candidates(world, 0, 0.1), bowl)) == pytest.approx(flat - 20.0), (
        "a second bowl"
    )
    repeat = World(replace(world.prior, repeat=True))
    assert float(object_log_prior(repeat, candidates(world, 0, 0.1), bowl)) == pytest.approx(flat - math.log(2.0))


@pytest.mark.parametrize("name", ["plain", "no repeat", "perturbed"])
def test_the_order_of_objects_means_nothing(name: str) -> None:
    world = World(PRIORS[name])
    scenes = ScenePrior(replace(world.prior, min_objects=3)).sample_batch(np.random.default_rng(5), 20)
    viewpoint, objects = world.from_batch(scenes)
    shuffled = Objects(*(part[:, torch.tensor([2, 0, 1])] for part in objects))
    one, other = (scene_log_prior(world, SceneLatents(viewpoint, each)) for each in (objects, shuffled))
    assert torch.allclose(one, other, atol=1e-4)
