"""The greedy agent against what it promises, and against chance."""

import numpy as np
import pytest

from air3d.environments.greedy import greedy_actions, propose
from air3d.environments.vector import TabletopVectorEnv
from air3d.scene3d.errors import InputError

SETTINGS = {"image_size": 32, "renderer": "raster", "max_objects": 2}


def test_proposals_lie_in_the_space_and_never_stop():
    envs = TabletopVectorEnv(3, **SETTINGS)
    actions = propose(envs.layout, np.random.default_rng(0), 3, 50)
    assert all(envs.single_action_space.contains(action) for action in actions.reshape(150, -1))
    commands = envs.layout.decode(actions.reshape(150, -1))
    assert set(commands.operation) == {0, 1, 2, 3, 4, 5}, "all but stop, the last"


def test_it_never_loses_and_explains_most_of_the_picture():
    envs, rng = TabletopVectorEnv(8, **SETTINGS), np.random.default_rng(0)
    observation, _ = envs.reset(seed=0)

    def error(seen):
        return np.square(seen["target"].astype(float) - seen["render"]).sum((1, 2, 3))

    start = error(observation)
    for _ in range(20):
        observation, reward, *_ = envs.step(greedy_actions(envs, 48, rng))
        assert (reward >= 0.0).all()
    explained = 1.0 - error(observation).mean() / start.mean()
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(20):
        actions = envs.action_space.sample()
        actions[:, envs.layout.operations.index("stop")] = -1.0
        observation, *_ = envs.step(actions)
    chance = 1.0 - error(observation).mean() / start.mean()
    assert explained > 0.5 > 0.1 > chance


def test_it_does_nothing_where_all_else_is_worse():
    """One random proposal each, and often none that gains anything."""
    envs, rng = TabletopVectorEnv(8, **SETTINGS), np.random.default_rng(0)
    envs.reset(seed=0)
    rewards = np.stack([envs.step(greedy_actions(envs, 2, rng))[1] for _ in range(12)])
    assert (rewards >= 0.0).all()
    assert (rewards > 0.0).any()


def test_one_proposal_is_no_choice():
    with pytest.raises(InputError, match="proposals"):
        greedy_actions(TabletopVectorEnv(1, **SETTINGS), 1, np.random.default_rng(0))
