"""Settled scenes: hollow things are hollow, nothing moves or sinks in, and a drop depends on its arguments alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from air3d.scene3d import physics
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.contacts import add_bodies, add_ground, set_options, sized
from air3d.scene3d.drop import start_poses
from air3d.scene3d.errors import InputError
from air3d.scene3d.ground import Ground
from air3d.scene3d.mjcf import scene_mjcf
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.physics import SettleConfig, Settled, settle, settled, settled_scene
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table
from air3d.scene3d.surface import Surface, Surfaces

TOP, PLACE = Ground((Surface((0.32,)),)), Surfaces((Surface((0.20,)),))
UPRIGHT = np.array([[1.0, 0.0, 0.0, 0.0]])


def drawn(seed: int, most: int = 6) -> tuple[list[str], Settled]:
    rng = np.random.default_rng([17, seed])
    kinds = [CROCKERY[k] for k in rng.integers(len(CROCKERY), size=rng.integers(most + 1))]
    return kinds, settled(rng, kinds, [1.0] * len(kinds), PLACE, TOP)


def compiled(kinds: list[str], scales: list[float], ground: Ground = TOP) -> mujoco.MjModel:
    """A model that is asked anew, with MuJoCo's own step."""
    spec = mujoco.MjSpec()
    set_options(spec, 0.002)
    add_ground(spec, ground)
    for number, (kind, scale) in enumerate(zip(kinds, scales, strict=True)):
        body = spec.worldbody.add_body()
        body.add_freejoint()
        add_bodies(spec, body, kind, scale, str(number))
    return spec.compile()


def same(a: Settled, b: Settled) -> bool:
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a, b, strict=True))


def test_a_ball_falls_into_a_bowl() -> None:
    """It rests on the bowl's floor, 10 mm above the table, inside the wall."""
    start = np.array([[0.0, 0.0, 0.0], [0.03, 0.01, 0.12]])
    end = settle(["bowl", "sphere"], [1.0, 0.4], start, np.repeat(UPRIGHT, 2, axis=0), TOP)
    assert end.good(SettleConfig())
    bowl, ball = end.position_m
    assert ball[2] == pytest.approx(0.010, abs=0.002) and np.hypot(*(ball - bowl)[:2]) < 0.035
    assert abs(bowl[2]) < 5e-4


def test_a_mug_lies_in_a_bowl_and_a_bowl_in_a_bowl() -> None:
    start = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.10]])
    end = settle(["bowl", "bowl"], [1.0, 1.0], start, np.repeat(UPRIGHT, 2, axis=0), TOP)
    assert end.good(SettleConfig()) and 0.005 < end.position_m[1, 2] < 0.04
    lying = np.concatenate([UPRIGHT, np.array([[1.0, 1.0, 0.0, 0.0]]) / np.sqrt(2.0)])
    start[1] = -0.01, 0.03, 0.10
    end = settle(["bowl", "mug"], [1.0, 0.6], start, lying, TOP)
    assert end.still and end.penetration_m < 1e-3
    assert end.position_m[1, 2] < 0.065 and np.hypot(*(end.position_m[1] - end.position_m[0])[:2]) < 0.07


def test_nothing_moves_or_sinks_in() -> None:
    """Of 24 scenes, by MuJoCo's own contacts, in a model that is asked anew, and stepped on for a tenth of a second."""
    for seed in range(24):
        kinds, end = drawn(seed)
        if not kinds:
            continue
        order = sorted(range(len(kinds)), key=lambda n: kinds[n])
        model = compiled([kinds[n] for n in order], [1.0] * len(kinds))
        data = mujoco.MjData(model)
        poses = data.qpos.reshape(-1, 7)
        poses[:, :3], poses[:, 3:] = end.position_m[order], end.rotation_wxyz[order]
        before = poses.copy()
        mujoco.mj_forward(model, data)
        assert data.contact.dist.min() > -1e-3, (seed, kinds)
        on_table = data.contact.pos[(data.contact.geom == 0).any(axis=1)]
        assert TOP.holds(on_table).all() and len(on_table), (seed, kinds)
        mujoco.mj_step(model, data, 50)
        assert np.linalg.norm(poses[:, :3] - before[:, :3], axis=1).max() < 1e-3, (seed, kinds)


def test_a_model_made_larger_is_the_model_of_what_is_larger() -> None:
    """By factors that floats multiply exactly, every array of MuJoCo's is that of a compilation."""
    kinds = ["bowl", "cube", "cylinder", "mug", "pan", "sphere", "teapot"]
    scales = [2.0, 0.5, 2.0, 0.5, 2.0, 0.5, 2.0]
    made, expected = sized(compiled(kinds, [1.0] * 7), scales), compiled(kinds, scales)
    arrays = 0
    for name in dir(expected):
        if name.startswith("_") or not isinstance(getattr(expected, name), np.ndarray):
            continue
        one, other = getattr(made, name), getattr(expected, name)
        assert one.shape == other.shape, name
        if one.dtype.kind in "fiu":
            arrays += 1
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-9, err_msg=name)
    assert arrays > 200
    assert made.stat.meaninertia == pytest.approx(expected.stat.meaninertia)


def test_what_was_put_down_starts_clear_of_all_else() -> None:
    """Of MuJoCo's contacts at the start there are none, on one place or on shelves 10 cm above one another."""
    shelves = tuple(Surface((0.2,), (0.0, 0.0, z)) for z in (0.0, 0.1, 0.2))
    for seed, places in enumerate([PLACE, Surfaces(shelves)] * 8):
        rng = np.random.default_rng([3, seed])
        kinds = [CROCKERY[k] for k in rng.integers(len(CROCKERY), size=6)]
        scales = rng.uniform(0.5, 1.5, 6).tolist()
        model = compiled(kinds, scales, Ground((Surface((1.0,)),)))
        data = mujoco.MjData(model)
        poses = data.qpos.reshape(-1, 7)
        poses[:, :3], poses[:, 3:] = start_poses(rng, kinds, scales, places, 0.5)
        mujoco.mj_forward(model, data)
        assert data.ncon == 0


def test_the_same_whatever_was_settled_before_and_in_how_many_threads() -> None:
    seeds = range(20, 26)
    alone = [drawn(seed, 3) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda seed: drawn(seed, 3), reversed(seeds)))[::-1]
    physics._compiled.cache_clear()
    anew = [drawn(seed, 3) for seed in seeds]
    for one, two, three in zip(alone, again, anew, strict=True):
        assert one[0] == two[0] == three[0] and same(one[1], two[1]) and same(one[1], three[1])


def test_very_many_contacts_at_once_have_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six bowls dropped into each other touch in hundreds of points; MuJoCo, which would log it, lacks no memory."""
    monkeypatch.chdir(tmp_path)
    start = np.zeros((6, 3))
    start[:, 2] = 0.001 + 0.03 * np.arange(6)
    end = settle(["bowl"] * 6, [1.0] * 6, start, np.repeat(UPRIGHT, 6, axis=0), TOP, SettleConfig(seconds=0.3))
    assert np.isfinite(end.position_m).all() and not list(tmp_path.iterdir())


def test_the_order_of_objects_is_kept_and_sizes_count() -> None:
    start = np.array([[0.1, 0.0, 0.001], [-0.1, 0.0, 0.001]])
    both = np.repeat(UPRIGHT, 2, axis=0)
    one = settle(["plate", "mug"], [1.0, 1.5], start, both, TOP)
    two = settle(["mug", "plate"], [1.5, 1.0], start[::-1], both, TOP)
    assert one.position_m == pytest.approx(start * (1.0, 1.0, 0.0), abs=1e-3)
    assert one.position_m.tobytes() == two.position_m[::-1].copy().tobytes()


def test_what_falls_off_is_told_and_what_cannot_settle_is_one_line() -> None:
    off = settle(["mug"], [1.0], np.array([[0.5, 0.0, 0.0]]), UPRIGHT, TOP)
    assert not off.inside and not off.good(SettleConfig())
    over = settle(["plate"], [1.0], np.array([[0.31, 0.0, 0.0]]), UPRIGHT, TOP)
    assert over.still and not over.inside  # its foot stands out over the edge
    with pytest.raises(InputError, match=r"could not settle 2 objects \(plate, plate\) .* in 3 tries"):
        settled(
            np.random.default_rng(0),
            ["plate"] * 2,
            [1.0] * 2,
            Surfaces((Surface((0.01,)),)),
            Ground((Surface((0.02,)),)),
            max_tries=3,
        )
    nothing = settle([], [], np.zeros((0, 3)), np.zeros((0, 4)), TOP)
    assert nothing.good(SettleConfig()) and nothing.position_m.shape == (0, 3)


def test_a_scene_settles_or_says_why_not() -> None:
    """A mug set free above a plate comes to stand on it, half a centimetre up; everything else of the scene stays."""
    plate = SceneObject("plate", (-0.1, 0.0, 0.005))
    scene = Scene(
        (plate, SceneObject("mug", (-0.1, 0.0, 0.05), scale=0.9, colour=(0.1, 0.2, 0.3))), Orbit(distance_m=0.7)
    )
    end = settled_scene(scene)
    assert end.objects[1].position_m == pytest.approx((-0.1, 0.0, 0.005), abs=2e-3)
    assert replace(end, objects=()) == replace(scene, objects=())
    assert [replace(o, position_m=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)) for o in end.objects] == [
        replace(o, position_m=(0.0, 0.0, 0.0)) for o in scene.objects
    ]
    assert settled_scene(Scene()) == Scene()
    with pytest.raises(InputError, match=r"does not settle on a round table of radius .*: something leaves it"):
        settled_scene(Scene(SceneObject("mug", (0.5, 0.0, 0.0))))
    with pytest.raises(InputError, match="mm in each other; let them start apart"):
        settled_scene(Scene((SceneObject("mug", (0.0, 0.0, 0.0)), SceneObject("mug", (0.001, 0.0, 0.0)))))


def test_what_rolls_in_a_bin_stays_in_it() -> None:
    """A ball that starts beside a wall, or is dropped on it, lies on the floor or is told to have left."""
    table = Table(0.2, 0.1, "bin")
    half = table.top.half_extents_m[0]
    start = np.array([[half - 0.02, 0.0, 0.3], [0.0, 0.06 - half, 0.2], [-0.05, 0.02, 0.1]])
    end = settle(["cylinder", "sphere", "mug"], [0.4, 0.4, 0.8], start, np.repeat(UPRIGHT, 3, axis=0), table.ground)
    assert end.good(SettleConfig()) and abs(end.position_m[:, :2]).max() < half
    over = settle(["mug"], [1.0], np.array([[half + 0.2, 0.0, 0.1]]), UPRIGHT, table.ground)
    assert not over.inside


def test_a_prior_of_settled_scenes() -> None:
    """Objects are tilted, and on each other; the scene depends on the stream alone, and lies still where it is read."""
    prior = ScenePrior(PriorConfig(kinds=("bowl", "mug"), min_objects=2, max_objects=3, pose="settled"))
    scenes = [prior.sample(np.random.default_rng([5, k])) for k in range(6)]
    assert scenes == [prior.sample(np.random.default_rng([5, k])) for k in range(6)]
    assert max(item.tilt_rad for scene in scenes for item in scene.objects) > 1.0
    for scene in scenes:
        kinds, scales = [o.kind for o in scene.objects], [o.scale for o in scene.objects]
        at, turn = (np.array([getattr(o, n) for o in scene.objects]) for n in ("position_m", "rotation_wxyz"))
        again = settle(kinds, scales, at, turn, scene.table.ground)
        assert again.good(SettleConfig()) and abs(again.position_m - at).max() < 1e-3
    with pytest.raises(InputError, match="'settled' can be drawn, but have no density"):
        prior.log_prob(prior.sample_batch(np.random.default_rng(0), 1))


def test_a_settled_scene_goes_to_mujoco_and_stays(tmp_path: Path) -> None:
    """Exported, and stepped for 2 s in a model of its own, it moves less than 2 mm."""
    prior = ScenePrior(PriorConfig(kinds=("bowl", "plate", "mug"), min_objects=3, max_objects=3, pose="settled"))
    for seed in range(4):
        written = scene_mjcf(prior.sample(np.random.default_rng([6, seed])), "assets")
        for name, content in written.files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        (tmp_path / "scene.xml").write_text(written.text)
        model = mujoco.MjModel.from_xml_path(str(tmp_path / "scene.xml"))
        data = mujoco.MjData(model)
        before = data.qpos.reshape(-1, 7)[:, :3].copy()
        mujoco.mj_step(model, data, round(2.0 / model.opt.timestep))
        assert np.linalg.norm(data.qpos.reshape(-1, 7)[:, :3] - before, axis=1).max() < 0.002, seed
