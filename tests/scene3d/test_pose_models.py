"""Pose models: `sample` and `log_prob` are one distribution, over the sheets and volumes that they state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import CATALOG, get_kind
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.resting import stable_poses
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.solids import solids
from air3d.scene3d.stances import ball, stances
from air3d.scene3d.surface import Surface

Fits = Callable[[float, str], None]
Array = NDArray[np.float64]

TURN = 2.0 * math.pi
FIXED = CameraPrior.fixed(Orbit())
SHELVES = (Surface((0.15,), (0.5, 0.0, 0.3)), Surface((0.2, 0.1), (0.5, 0.05, 0.7), 0.4))
RESTING = PriorConfig(("glass", "plate"), 2, 2, camera=FIXED, pose="resting", gap_m=0.01)
FREE = PriorConfig(("mug", "cube"), 2, 2, camera=FIXED, pose="free", gap_m=0.01, free_height_m=0.25)


def hull(item: SceneObject) -> Array:
    """Points of an object's bodies in the world."""
    turn = Rotation.from_quat(item.rotation_wxyz, scalar_first=True)
    return np.asarray(turn.apply(item.scale * solids(item.kind).points_m()) + item.position_m)


def scenes(config: PriorConfig, count: int, seed: int = 0) -> list[Scene]:
    prior = ScenePrior(config)
    return [prior.sample(np.random.default_rng([seed, i])) for i in range(count)]


def batch_of(config: PriorConfig, position: Array, rotation: Array, kind: Array | None = None) -> SceneBatch:
    """Scenes of these poses (B, N, ...), the kinds in the config's order, all else as in one that was drawn."""
    drawn = ScenePrior(config).sample_batch(np.random.default_rng(0), 1)[np.zeros(len(position), dtype=np.int64)]
    every = np.broadcast_to(np.arange(position.shape[1]), position.shape[:2]) if kind is None else kind
    colour = np.array([get_kind(name).colour for name in config.kinds])[every]
    return replace(drawn, kind=every.astype(np.int64), position_m=position, rotation_wxyz=rotation, colour=colour)


def test_resting_objects_touch_the_table_and_stay_apart() -> None:
    """The lowest point of each is on the plane, and lines part the outlines, by bodies' own points."""
    config = replace(RESTING, kinds=("mug", "pan", "teapot"), max_objects=3, perturb=Perturbation(scale=0.1))
    tilted = 0
    for scene in scenes(config, 30):
        flat = [hull(item)[:, :2] for item in scene.objects]
        for item in scene.objects:
            assert hull(item)[:, 2].min() == pytest.approx(0.0, abs=2e-5)
            tilted += item.tilt_rad > 0.1
        for a in range(len(flat)):
            for b in range(a):
                angle = np.linspace(0.0, math.pi, 181)
                lines = np.stack([np.cos(angle), np.sin(angle)])
                one, two = flat[a] @ lines, flat[b] @ lines
                gap = np.maximum(one.min(axis=0) - two.max(axis=0), two.min(axis=0) - one.max(axis=0))
                assert gap.max() >= config.gap_m - 1e-4
    assert tilted > 20


@pytest.mark.parametrize("kind", CATALOG)
def test_discs_cover_a_stance_seen_from_above(kind: str) -> None:
    ways = stances(kind)
    for k, pose in enumerate(stable_poses(kind)):
        flat = Rotation.from_quat(pose.rotation_wxyz, scalar_first=True).apply(solids(kind).points_m())
        away = np.linalg.norm(flat[:, None, :2] - ways.discs[k, :, :2], axis=2) - ways.discs[k, :, 2]
        assert away.min(axis=1).max() < 1e-6
        assert flat[:, 2].max() + pose.height_m == pytest.approx(ways.span_m[k, 1])
    assert np.linalg.norm(solids(kind).points_m() - ball(kind)[0], axis=1).max() <= ball(kind)[1] + 1e-9


def test_stances_come_by_their_probability(fits: Fits) -> None:
    config = replace(RESTING, kinds=("mug",), min_objects=1, max_objects=1)
    drawn = scenes(config, 2000)
    up = np.array([Rotation.from_quat(s.objects[0].rotation_wxyz, scalar_first=True).as_matrix()[2] for s in drawn])
    poses = stable_poses("mug")
    own = np.array([Rotation.from_quat(p.rotation_wxyz, scalar_first=True).as_matrix()[2] for p in poses])
    away = np.linalg.norm(up[:, None] - own, axis=2)
    assert away.min(axis=1).max() < 1e-9
    counts = np.bincount(away.argmin(axis=1), minlength=len(poses))
    fits(stats.chisquare(counts, [2000 * p.probability for p in poses]).pvalue, "how often a mug rests in each stance")


def test_the_density_of_resting_is_normalised_over_its_sheets(fits: Fits) -> None:
    """E_u[p / u] = 1 for u: a uniform stance, a point of the square around the place, a yaw; for both objects."""
    size, side = 60_000, RESTING.table.place_radius_m
    rng = np.random.default_rng(3)
    position, log_u = np.zeros((size, 2, 3)), np.full(size, math.log(0.25))
    rotation = np.zeros((size, 2, 4))
    kind = rng.integers(2, size=(size, 2))
    position[..., :2] = rng.uniform(-side, side, (size, 2, 2))
    yaw = Rotation.from_euler("z", rng.uniform(0.0, TURN, (2 * size, 1))).as_matrix().reshape(size, 2, 3, 3)
    for k, name in enumerate(RESTING.kinds):
        poses = stable_poses(name)
        chosen = rng.integers(len(poses), size=(size, 2))
        own = np.array([Rotation.from_quat(p.rotation_wxyz, scalar_first=True).as_matrix() for p in poses])
        mine = kind == k
        turn = Rotation.from_matrix((yaw @ own[chosen])[mine])
        rotation[mine] = turn.as_quat(canonical=True, scalar_first=True)
        position[mine, 2] = np.array([p.height_m for p in poses])[chosen][mine]
        log_u -= mine.sum(axis=1) * math.log(len(poses) * (2.0 * side) ** 2 * TURN)
    weight = np.exp(ScenePrior(RESTING).log_prob(batch_of(RESTING, position, rotation, kind)) - log_u)
    assert 0.05 < np.mean(weight > 0.0) < 0.95
    error = math.sqrt(weight.var() / size + 1.0 / 0.5 / 200_000)
    fits(2 * stats.norm.sf(abs(weight.mean() - 1) / error), f"integral over the sheets is {weight.mean():.4f}")


def test_the_density_of_free_is_normalised_over_a_box_and_all_rotations(fits: Fits) -> None:
    size, half = 100_000, np.array([0.3, 0.3, 0.25])
    rng = np.random.default_rng(4)
    position = rng.uniform(-1.0, 1.0, (size, 2, 3)) * half + (0.0, 0.0, 0.25)
    rotation = Rotation.random(2 * size, rng=rng).as_quat(canonical=True, scalar_first=True).reshape(size, 2, 4)
    kind = rng.integers(2, size=(size, 2))
    log_u = math.log(0.25) - 2.0 * math.log(np.prod(2.0 * half))
    weight = np.exp(ScenePrior(FREE).log_prob(batch_of(FREE, position, rotation, kind)) - log_u)
    assert 0.005 < np.mean(weight > 0.0) < 0.95
    error = math.sqrt(weight.var() / size + 1.0 / 0.2 / 200_000)
    fits(2 * stats.norm.sf(abs(weight.mean() - 1) / error), f"integral over the box is {weight.mean():.4f}")


def test_free_objects_touch_nothing_and_are_turned_uniformly(fits: Fits) -> None:
    turned = []
    for scene in scenes(replace(FREE, perturb=Perturbation(scale=0.1)), 400):
        balls = [(hull(item), item) for item in scene.objects]
        assert all(points[:, 2].min() > 0.0 for points, _ in balls)
        centres = [
            np.array(item.position_m)
            + Rotation.from_quat(item.rotation_wxyz, scalar_first=True).apply(item.scale * ball(item.kind)[0])
            for _, item in balls
        ]
        reach = sum(ball(item.kind)[1] * item.scale for _, item in balls)
        assert np.linalg.norm(centres[0] - centres[1]) >= reach + FREE.gap_m
        turned += [Rotation.from_quat(item.rotation_wxyz, scalar_first=True) for _, item in balls]
    # The angle of a uniform rotation has the density (1 - cos a) / pi.
    angle = np.array([turn.magnitude() for turn in turned])
    fits(stats.kstest(angle, lambda a: (a - np.sin(a)) / math.pi).pvalue, "angles of free objects")


@pytest.mark.parametrize("pose", ["upright", "resting", "free"])
@pytest.mark.parametrize("supports", [(), SHELVES])
def test_what_is_drawn_has_a_density_and_what_is_moved_has_none(pose: str, supports: tuple[Surface, ...]) -> None:
    base = replace(FREE, kinds=("mug", "bowl", "glass"), min_objects=3, max_objects=3, perturb=Perturbation(scale=0.1))
    config = replace(base, pose=pose, supports=supports)
    prior = ScenePrior(config)
    batch = prior.sample_batch(np.random.default_rng(7), 40)
    found = prior.log_prob(batch)
    assert np.isfinite(found).all() and (prior.log_surrogate(batch) == found).all()
    area = sum(math.pi * s.size_m[0] ** 2 if len(s.size_m) == 1 else 4.0 * math.prod(s.size_m) for s in supports)
    if pose == "upright" and not supports:
        area = math.pi * config.table.place_radius_m**2
    if pose == "upright":
        # Kinds and sizes aside, it is one over (area 2 pi)^3, over the share of free arrangements, which is below 1.
        rest = -3 * math.log(3) - 3 * math.log(0.2)
        assert (found - rest >= -3.0 * math.log(area * TURN) - 1e-9).all()
    moved = {
        "lifted": replace(batch, position_m=batch.position_m + (0.0, 0.0, 2.0)),
        "aside": replace(batch, position_m=batch.position_m + (5.0, 0.0, 0.0)),
        "one": replace(batch, position_m=batch.position_m[:, :1].repeat(3, axis=1)),
    }
    for name, other in moved.items():
        assert (prior.log_prob(other) == -np.inf).all(), name
    if pose != "free":
        tip = Rotation.from_euler("x", 1e-4) * Rotation.from_quat(batch.rotation_wxyz.reshape(-1, 4), scalar_first=True)
        rotation = tip.as_quat(canonical=True, scalar_first=True).reshape(batch.rotation_wxyz.shape)
        assert (prior.log_prob(replace(batch, rotation_wxyz=rotation)) == -np.inf).all()


def test_several_supports_are_filled_by_their_areas(fits: Fits) -> None:
    """Each gets its share, uniformly, at its height; objects one above another are apart by height."""
    config = PriorConfig(("glass",), 2, 2, camera=FIXED, supports=SHELVES)
    drawn = [item for scene in scenes(config, 800) for item in scene.objects[:1]]
    low = [item for item in drawn if item.position_m[2] == 0.3]
    high = [item for item in drawn if item.position_m[2] == 0.7]
    assert len(low) + len(high) == 800
    share = math.pi * 0.15**2 / (math.pi * 0.15**2 + 0.4 * 0.2)
    fits(stats.binomtest(len(low), 800, share).pvalue, "share of the disc among two supports")
    radius = np.array([math.hypot(item.x_m - 0.5, item.y_m) for item in low]) / 0.15
    fits(stats.kstest(radius**2, "uniform").pvalue, "radius on a support that is a disc")
    turn = np.exp(-0.4j) * np.array([complex(item.x_m - 0.5, item.y_m - 0.05) for item in high])
    fits(stats.kstest(turn.real / 0.4 + 0.5, "uniform").pvalue, "x on a support that is turned")
    fits(stats.kstest(turn.imag / 0.2 + 0.5, "uniform").pvalue, "y on a support that is turned")
    apart = [(a, b) for a, b in (s.objects for s in scenes(config, 400)) if a.position_m[2] != b.position_m[2]]
    assert min(math.hypot(a.x_m - b.x_m, a.y_m - b.y_m) for a, b in apart) < 0.02
    # Nearer to one another than an object is high, supports share their room.
    near = replace(config, supports=(SHELVES[0], replace(SHELVES[0], position_m=(0.5, 0.0, 0.35))))
    reach = 2.0 * get_kind("glass").radius_m
    for a, b in (s.objects for s in scenes(near, 100)):
        assert math.hypot(a.x_m - b.x_m, a.y_m - b.y_m) >= reach


def test_what_settles_on_supports_lies_on_them() -> None:
    """Two shelves: what is above one is above its height, and most of it lies on it."""
    shelves = (Surface((0.15, 0.25), (0.5, 0.0, 0.3), 0.5), Surface((0.2,), (-0.5, 0.0, 0.9)))
    config = PriorConfig(("bowl", "cube"), 2, 4, camera=FIXED, pose="settled", supports=shelves)
    heights = []
    for scene in scenes(config, 12):
        for item in scene.objects:
            points = hull(item)
            top = shelves[0] if item.x_m > 0.0 else shelves[1]
            points = points[top.contains(points)]
            heights.append(points[:, 2].min() - top.position_m[2])
            assert top.contains(np.array(item.position_m))
    assert min(heights) > -1e-3 and np.mean(np.array(heights) < 1e-3) > 0.5


def test_where_supports_overlap_the_density_adds_up() -> None:
    twice = PriorConfig(("mug",), 1, 1, camera=FIXED, supports=(Surface((0.2,)), Surface((0.2,))))
    once = replace(twice, supports=(Surface((0.2,)),))
    batch = ScenePrior(twice).sample_batch(np.random.default_rng(0), 20)
    np.testing.assert_allclose(ScenePrior(twice).log_prob(batch), ScenePrior(once).log_prob(batch), rtol=1e-12)


def test_a_config_with_supports_is_saved_and_read() -> None:
    config = PriorConfig(("mug",), pose="settled", supports=SHELVES)
    written = config_to_dict(config)
    assert written["supports"][0] == {"size_m": [0.15], "position_m": [0.5, 0.0, 0.3], "yaw_rad": 0.0}
    assert config_from_dict(PriorConfig, written, "config") == config
    assert not {"pose", "supports", "free_height_m"} & set(config_to_dict(PriorConfig()))
    with pytest.raises(InputError, match=r"pose is 'flying'; use upright, resting, settled, free"):
        PriorConfig(pose="flying")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one of the supports is 3; give a Surface"):
        PriorConfig(supports=(3,))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"size_m is .*; give a disc's radius, or half a rectangle's sides"):
        Surface((1.0, 2.0, 3.0))
    with pytest.raises(InputError, match=r"size_m .* from 0.001"):
        Surface((0.0,))


def test_the_surrogate_of_settled_scenes_is_finite_and_prefers_what_rests() -> None:
    config = replace(RESTING, kinds=("mug", "bowl"), pose="settled", min_objects=1, max_objects=4)
    prior = ScenePrior(config)
    batch = prior.sample_batch(np.random.default_rng(1), 12)
    with pytest.raises(InputError, match="'settled' can be drawn, but have no density"):
        prior.log_prob(batch)
    score = prior.log_surrogate(batch)
    assert np.isfinite(score).all()
    turned = replace(config, min_objects=1, max_objects=1)
    quaternion = np.array([Rotation.from_euler("z", a).as_quat(scalar_first=True) for a in (0.0, 2.0, 4.0)])
    tipped = np.array([[*Rotation.from_euler("x", 0.3).as_quat(scalar_first=True)]])
    place = np.zeros((4, 1, 3))
    place[2, 0, 0] = 0.3
    rows = ScenePrior(turned).log_surrogate(batch_of(turned, place, np.concatenate([quaternion, tipped])[:, None]))
    assert rows[0] == pytest.approx(rows[1]) == pytest.approx(rows[2]) and rows[3] < rows[0] - 3.0
    off = batch_of(turned, place + (0.4, 0.0, 0.0), np.concatenate([quaternion, tipped])[:, None])
    assert (ScenePrior(turned).log_surrogate(off) == -np.inf).all()
