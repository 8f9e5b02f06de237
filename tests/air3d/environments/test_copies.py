"""Environments copied and pickled: a copy goes on as the original would, and neither disturbs the other."""

import copy
import pickle  # noqa: TID251  to see that it can be done
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from air3d.environments import TABLETOP
from air3d.environments.greedy import greedy_actions
from air3d.environments.vector import TabletopVectorEnv
from air3d.renderers.portable import PortableRenderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.scene import Scene, SceneObject

BACKENDS = ["analytic", "raster"] + ["gl"] * (probe_gl().platform is not None)
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda it: pickle.loads(pickle.dumps(it))}  # noqa: S301


def single(backend):
    return gymnasium.make(TABLETOP, image_size=16, renderer=backend, reveal=True)


def several(backend):
    return TabletopVectorEnv(3, max_episode_steps=4, image_size=16, renderer=backend, reveal=True)


def play(env, actions):
    """All that an environment tells during these actions, and in an episode begun after them without a seed."""
    told = [env.step(action) for action in actions]
    return [*told, env.reset(), *[env.step(action) for action in actions]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [single, several])
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_as_the_original(how, make, backend):
    env = make(backend)
    env.action_space.seed(0)
    env.reset(seed=7)
    for _ in range(3):
        env.step(env.action_space.sample())
    actions, other = [[env.action_space.sample() for _ in range(3)] for _ in range(2)]
    first, second = COPIES[how](env), COPIES[how](env)
    play(second, other)  # somewhere else, which concerns nobody
    second.close()
    told = play(first, actions)
    third = COPIES[how](env)
    first.close()
    assert data_equivalence(play(env, actions), told, exact=True)
    env.close()
    assert data_equivalence(play(third, actions), told, exact=True), "it outlives the original"
    third.close()


@pytest.mark.parametrize("how", COPIES)
def test_copies_before_the_first_episode_and_of_copies(how):
    env = several("raster")
    again = COPIES[how](COPIES[how](env))
    assert data_equivalence(env.reset(seed=1), again.reset(seed=1), exact=True)
    one, two = (greedy_actions(e, 4, np.random.default_rng(0)) for e in (env, again))
    np.testing.assert_array_equal(one, two)


def test_a_pickle_is_read_by_another_process(tmp_path):
    env = single("raster")
    env.reset(seed=5)
    action = env.unwrapped.layout.encode("add", kind=1, place=(0.2, 0.1))
    (tmp_path / "env").write_bytes(pickle.dumps(env))
    np.save(tmp_path / "action.npy", action)
    code = (
        "import pickle, sys, numpy; env = pickle.load(open(sys.argv[1] + '/env', 'rb'));"
        "seen, reward, *_ = env.step(numpy.load(sys.argv[1] + '/action.npy')); print(reward, seen['render'].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    seen, reward, *_ = env.step(action)
    assert done.stdout.split() == [repr(reward), str(seen["render"].sum())] and reward != 0.0


def test_a_backend_is_shared_by_deep_copies_and_closed_with_the_last():
    config = RenderConfig(("mug",), max_objects=1, height=16, width=16)
    batch = SceneBatch.from_scenes([Scene((SceneObject.upright("mug", 0.0, 0.0),))])
    first = PortableRenderer(config, "raster", 1)
    second, third = copy.deepcopy(first), pickle.loads(pickle.dumps(first))  # noqa: S301
    pixels, backend = first.render(batch), first._renderer
    assert second._renderer is backend is not third._renderer
    first.close()
    first.close()
    np.testing.assert_array_equal(second.render(batch), pixels)
    second.close()
    for closed in (first, second, copy.deepcopy(first), backend):
        with pytest.raises(RuntimeError, match="closed"):
            closed.render(batch)
    np.testing.assert_array_equal(third.render(batch), pixels)
