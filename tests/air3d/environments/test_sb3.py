"""Stable-Baselines3 takes the environment, and learns in it."""

import gymnasium
import numpy as np
import pytest

from air3d.environments import TABLETOP
from air3d.environments.single import TabletopEnv
from air3d.environments.vector import TabletopVectorEnv

# One plate under a fixed camera, compared through a blur: without it, learners find out first that it is best to do
# nothing (docs/environment.md).
SIMPLEST = {
    "kinds": ["plate"],
    "max_objects": 1,
    "camera": "fixed",
    "image_size": 16,
    "blur_px": 2.0,
    "renderer": "raster",
}
EPISODES, STEPS, SEED = 128, 4, 10_000


def test_its_checker_has_nothing_to_say():
    """Warnings are errors in this suite; pictures of 36 pixels are the smallest that its network takes."""
    from stable_baselines3.common.env_checker import check_env

    check_env(TabletopEnv(image_size=36, renderer="raster"))


def returns(choose):
    """(EPISODES,) returns of whole episodes from the same seeds; `choose` makes actions from observations."""
    envs = gymnasium.make_vec(TABLETOP, EPISODES, "vector_entry_point", max_episode_steps=STEPS, **SIMPLEST)
    seen, _ = envs.reset(seed=SEED)
    total, going = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while going.any():
        seen, reward, terminated, truncated, _ = envs.step(choose(seen))
        total += np.where(going, reward, 0.0)
        going &= ~(terminated | truncated)
    envs.close()
    return total


def best_constant():
    """(EPISODES,) rewards of adding a plate at the place that is best for all of them, whatever the picture."""
    envs = TabletopVectorEnv(EPISODES, **SIMPLEST)
    envs.reset(seed=SEED)
    places = [(x, y) for x in np.linspace(-0.5, 0.5, 5) for y in np.linspace(-0.5, 0.5, 5)]
    gains = envs.preview(np.tile([envs.layout.encode("add", place=place) for place in places], (EPISODES, 1, 1)))
    return gains[:, gains.mean(0).argmax()]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_ppo_learns_where_the_plate_is():
    """Not only that plates are there: it beats the best action that takes no look at the picture."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)

    def made():
        env = gymnasium.make(TABLETOP, max_episode_steps=STEPS, **SIMPLEST)
        return gymnasium.wrappers.FlattenObservation(env)

    space = TabletopEnv(**SIMPLEST).observation_space
    envs = VecNormalize(make_vec_env(made, 16, seed=0), gamma=1.0)
    network = {"net_arch": [128, 128], "log_std_init": -0.5}
    settings = {"n_steps": 64, "batch_size": 256, "n_epochs": 5, "gamma": 1.0, "learning_rate": 1e-3}
    agent = PPO("MlpPolicy", envs, seed=0, device="cpu", policy_kwargs=network, **settings).learn(12_288)
    rng = np.random.default_rng(0)

    def learned(seen):
        flat = [gymnasium.spaces.flatten(space, {k: v[i] for k, v in seen.items()}) for i in range(EPISODES)]
        return agent.predict(envs.normalize_obs(np.stack(flat)), deterministic=True)[0]

    def chance(seen):
        return rng.uniform(-1.0, 1.0, (EPISODES, agent.action_space.shape[0])).astype(np.float32)

    found, constant, random = returns(learned), best_constant(), returns(chance)
    print(f"learned {found.mean():.4f}, constant {constant.mean():.4f}, random {random.mean():.4f}")  # noqa: T201
    for other, errors in ((random, 5), (constant, 2)):
        gain = found - other
        assert gain.mean() > errors * gain.std() / np.sqrt(EPISODES)
