"""The environments as Gymnasium wants them: checkers, registration, seeds, and N of them at once equal to N alone."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from PIL import Image

from air3d.environments import MAX_EPISODE_STEPS, TABLETOP
from air3d.environments.config import EnvironmentConfig
from air3d.environments.single import TabletopEnv
from air3d.environments.vector import TabletopVectorEnv
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import Scene, SceneObject

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"image_size": 16, "renderer": "raster"}
SIMPLE = {"kinds": ["mug"], "max_objects": 1, "camera": "fixed", **SMALL}


def in_fresh_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        SIMPLE,
        {"reveal": True, "image_size": 33, "renderer": "analytic"},
        {"blur_px": 2.0, "kinds": ["mug", "glass", "cube", "sphere"], "max_objects": 4, **SMALL},
    ],
)
def test_gymnasiums_checker_has_nothing_to_say(settings):
    """Warnings are errors in this suite."""
    env = gymnasium.make(TABLETOP, **settings)
    check_env(env.unwrapped)
    env.close()


def test_make_imports_by_the_name_and_loads_no_torch():
    code = f"""
import sys, gymnasium
assert "{TABLETOP}" not in gymnasium.registry
env = gymnasium.make("air3d.environments:{TABLETOP}", image_size=16, renderer="analytic")
env.reset(seed=0)
env.step(env.action_space.sample())
assert "torch" not in sys.modules
"""
    done = in_fresh_python(code)
    assert done.returncode == 0, done.stderr


def test_importing_air3d_registers_and_loads_nothing_heavy():
    code = f"""
import sys, air3d, gymnasium
assert gymnasium.spec("{TABLETOP}").max_episode_steps == {MAX_EPISODE_STEPS}
assert not {{"mujoco", "torch", "scipy", "numba", "air3d.environments.single"}} & set(sys.modules)
"""
    done = in_fresh_python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["import air3d, gymnasium", "import gymnasium, air3d", "import gymnasium"])
def test_the_name_is_known_whatever_is_imported_first(first):
    name = TABLETOP if "air3d" in first else f"air3d:{TABLETOP}"
    made = f"gymnasium.make({name!r}).close(); gymnasium.make_vec({name!r}, num_envs=2).close()"
    done = in_fresh_python(f"{first}; {made}")
    assert done.returncode == 0, done.stderr


def test_the_spec_survives_json():
    env = gymnasium.make(TABLETOP, **SIMPLE)
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.config == env.unwrapped.config
    assert data_equivalence(env.reset(seed=3), again.reset(seed=3), exact=True)


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"kind": ["mug"]}, "unknown setting 'kind': did you mean 'kinds'"),
        ({"kinds": ["mugg"]}, "did you mean 'mug'"),
        ({"kinds": []}, "kinds is empty"),
        ({"kinds": [3]}, "kind"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"max_objects": 2.5}, "max_objects is 2.5"),
        ({"min_objects": 4}, "objects from 4 to 3"),
        ({"camera": "orbit"}, "camera is 'orbit'"),
        ({"image_size": 4}, "image_size is 4"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"blur_px": -1.0}, "blur_px is -1.0"),
        ({"tolerance": "low"}, "tolerance must be a number"),
        ({"reveal": 1}, "reveal is 1"),
        ({"renderer": "povray"}, "renderer is 'povray'"),
        ({"render_mode": "ansi"}, "render_mode is 'ansi'"),
    ],
)
@pytest.mark.parametrize("make", [TabletopEnv, TabletopVectorEnv])
def test_bad_settings_are_refused_in_one_line(make, settings, named):
    with pytest.raises(InputError) as caught:
        make(**settings)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seeds():
    env = TabletopEnv(**SMALL)
    first, second, other = (env.reset(seed=s)[0]["target"] for s in (0, None, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(env.reset(seed=0)[0]["target"], first)
    np.testing.assert_array_equal(env.reset()[0]["target"], second)


def test_the_info_tells_the_truth_if_asked():
    """Put in as the start, it looks like the target; float32 may move an edge by a pixel."""
    env = TabletopEnv(reveal=True, **SMALL)
    first, info = env.reset(seed=4)
    truth, kinds = info["truth"], env.config.kinds
    assert not first["present"].any()
    objects = [
        SceneObject.upright(kinds[truth["kind"][n]], *(float(truth[name][n]) for name in ("x_m", "y_m", "yaw_rad")))
        for n in np.flatnonzero(truth["present"])
    ]
    start = Scene(tuple(objects), Orbit(*map(float, truth["camera"])))
    seen, info = env.reset(options={"target": first["target"], "start": start})
    differs = (seen["target"] != seen["render"]).any(-1)
    assert differs.mean() < 0.02 < 0.2 < (first["target"] != first["render"]).any(-1).mean()
    assert "truth" not in info, "nobody tells what a picture shows"
    assert "truth" not in TabletopEnv(**SMALL).reset(seed=4)[1]


def test_options_set_target_and_start():
    env = TabletopEnv(**SIMPLE)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    observation, _ = env.reset(
        options={"target": image, "start": Scene((SceneObject.upright("mug", 0.05, -0.1, 1.0),))}
    )
    np.testing.assert_array_equal(observation["target"], image)
    assert observation["present"].tolist() == [1]
    np.testing.assert_allclose([observation["x_m"], observation["y_m"]], [[0.05], [-0.1]], rtol=1e-6)
    assert observation["yaw_rad"].tolist() == [1.0]
    with pytest.raises(InputError, match="unknown option 'image'; use target, start"):
        env.reset(options={"image": image})
    for bad in (3, "none.png", np.zeros((3, 16, 16)), 255.0 * image):
        with pytest.raises(InputError):
            env.reset(options={"target": bad})


def test_natural_arguments(tmp_path):
    env = TabletopEnv(**{**SIMPLE, "kinds": "mug", "image_size": np.int64(16), "sigma": np.float32(0.125)})
    assert env.config == EnvironmentConfig(**{**SIMPLE, "kinds": ("mug",), "sigma": 0.125})
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=np.int64(3))
    np.testing.assert_array_equal(first["target"], again["target"])
    Image.fromarray(first["target"]).save(tmp_path / "a.png")
    for target in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.open(tmp_path / "a.png"),
        first["target"] / 255.0,
    ):
        np.testing.assert_array_equal(env.reset(options={"target": target})[0]["target"], first["target"])
    for bad in (-1, 1.5, "3", ...):
        with pytest.raises(InputError, match="seed is"):
            env.reset(seed=bad)
    with pytest.raises(InputError, match="options is"):
        env.reset(options="target")
    with pytest.raises(InputError, match="is no Scene"):
        env.reset(options={"start": "scene.json"})
    envs = TabletopVectorEnv(np.int64(2), max_episode_steps=np.int64(4), **SIMPLE)
    seen, _ = envs.reset(seed=np.int64(3))
    np.testing.assert_array_equal(seen["target"][0], first["target"])
    same, _ = envs.reset(seed=np.array([3, 4]), options={"reset_mask": [True, True]})
    np.testing.assert_array_equal(same["target"], seen["target"])
    paths = [tmp_path / "a.png"] * 2
    np.testing.assert_array_equal(envs.reset(options={"target": paths})[0]["target"][1], first["target"])
    with pytest.raises(InputError, match="1 targets; give 2"):
        envs.reset(options={"target": paths[0]})


def test_render_shows_target_rendering_and_difference():
    env = TabletopEnv(render_mode="rgb_array", **SIMPLE)
    observation, _ = env.reset(seed=0)
    shown = env.render()
    factor, gap = 16, 8
    assert shown.shape == (16 * factor, 3 * 16 * factor + 2 * gap, 3)
    for i, part in enumerate((observation["target"], observation["render"])):
        left = i * (16 * factor + gap)
        panel = shown[:, left : left + 16 * factor]
        np.testing.assert_array_equal(np.asarray(Image.fromarray(panel).resize((16, 16), Image.Resampling.BOX)), part)
    difference = shown[:, 2 * (16 * factor + gap) :][::factor, ::factor].astype(int)
    same = (observation["target"] == observation["render"]).all(-1)
    assert 0 < (~same).sum() < same.sum()
    assert (difference[same] == 128).all()
    change = observation["target"].astype(int) - observation["render"]
    clear = np.abs(change) >= 2
    assert clear.any()
    assert (np.sign(difference - 128)[clear] == np.sign(change)[clear]).all()


def test_render_without_a_mode_warns():
    with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        assert TabletopEnv(**SIMPLE).render() is None


def test_closing_twice():
    for env in (TabletopEnv(**SIMPLE), TabletopVectorEnv(2, **SIMPLE)):
        env.reset(seed=0)
        env.close()
        env.close()


def both(count, limit, **settings):
    """Environments made natively and by Gymnasium out of single ones."""
    native = gymnasium.make_vec(TABLETOP, count, "vector_entry_point", max_episode_steps=limit, **settings)
    singles = SyncVectorEnv([lambda: TimeLimit(TabletopEnv(**settings), limit) for _ in range(count)])
    return native, singles


@pytest.mark.parametrize(
    "settings", [{"reveal": True, **SMALL}, {"tolerance": 0.05, **SIMPLE}, {"blur_px": 1.5, **SMALL}]
)
def test_the_vector_environment_equals_single_ones(settings):
    """Observations, rewards, ends and infos, exactly, through stops, truncations, successes and autoresets."""
    native, singles = both(5, 4, **settings)
    assert native.single_observation_space == singles.single_observation_space
    assert native.observation_space == singles.observation_space
    assert native.action_space == singles.action_space
    assert native.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    mine, theirs = native.reset(seed=7), singles.reset(seed=7)
    assert data_equivalence(mine, theirs, exact=True)
    ends = np.zeros(2, int)
    native.action_space.seed(0)
    for _ in range(25):
        actions = native.action_space.sample()
        mine, theirs = native.step(actions), singles.step(actions)
        assert native.observation_space.contains(mine[0])
        assert data_equivalence(mine, theirs, exact=True)
        ends += [mine[2].sum(), mine[3].sum()]
    assert (ends > 0).all(), "episodes terminated, and were truncated"
    assert [g.bit_generator.state for g in native.unwrapped.np_random] == [
        g.bit_generator.state for g in singles.np_random
    ]
    assert native.unwrapped.np_random_seed == singles.np_random_seed == (7, 8, 9, 10, 11)


@pytest.mark.parametrize("seed", [[3, None, 5], None])
def test_seeds_of_the_vector_environment(seed):
    native, singles = both(3, 9, **SMALL)
    for envs in (native, singles):
        envs.reset(seed=11)
    assert data_equivalence(native.reset(seed=seed), singles.reset(seed=seed), exact=True)


def test_some_can_be_reset_alone():
    native, singles = both(4, 9, **SMALL)
    mask = np.array([True, False, False, True])
    for envs in (native, singles):
        envs.reset(seed=0)
        envs.action_space.seed(0)
        envs.step(envs.action_space.sample())
    mine, theirs = (envs.reset(options={"reset_mask": mask}) for envs in (native, singles))
    assert data_equivalence(mine, theirs, exact=True)
    for wrong in (mask[:2], mask.astype(int), mask & False, [True] * 3, "all"):
        with pytest.raises(InputError, match="reset_mask"):
            native.reset(options={"reset_mask": wrong})


def test_returned_arrays_are_the_callers():
    envs = TabletopVectorEnv(2, **SMALL)
    first, _ = envs.reset(seed=0)
    kept = {name: part.copy() for name, part in first.items()}
    actions = np.stack([envs.layout.encode("add")] * 2)
    second, *_ = envs.step(actions)
    for name, part in first.items():
        np.testing.assert_array_equal(part, kept[name])
        assert not np.shares_memory(part, second[name])
    for name in first:
        first[name][...] = 0
    np.testing.assert_array_equal(envs.step(actions)[0]["target"], kept["target"])


def test_wrong_numbers_of_things_are_refused():
    for wrong in ({"num_envs": 0}, {"num_envs": 2, "max_episode_steps": 0}):
        with pytest.raises(InputError):
            TabletopVectorEnv(**wrong, **SMALL)
    envs = TabletopVectorEnv(2, **SMALL)
    with pytest.raises(ResetNeeded):
        envs.step(envs.action_space.sample())
    envs.reset(seed=0)
    with pytest.raises(InputError, match="3 actions for 2"):
        envs.step(np.zeros((3, envs.layout.size)))
    with pytest.raises(InputError, match="6 actions for 4"):
        envs.preview(np.zeros((3, 2, envs.layout.size)))
    with pytest.raises(InputError, match="one for each of 2"):
        envs.reset(seed=[1, 2, 3])


def test_the_default_setting_is_the_shipped_networks():
    """So that its answers can be starts."""
    config = EnvironmentConfig()
    assert (config.kinds, config.max_objects, config.image_size) == (("mug", "plate", "bowl"), 3, 64)
