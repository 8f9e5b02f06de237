"""Many environments as one: a step of all of them draws one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from air3d.environments.config import EnvironmentConfig
from air3d.environments.episodes import Episodes
from air3d.environments.observation import Observation, describe, observation_space, observe
from air3d.environments.panels import RENDER_METADATA, check_render_mode, panels
from air3d.environments.reset_options import check_options, check_seed
from air3d.renderers.portable import PortableRenderer
from air3d.scene3d.arguments import natural, whole
from air3d.scene3d.errors import InputError, shown

Flags = NDArray[np.bool_]


class TabletopVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """`gymnasium.make_vec("air3d/TableTop-v0", num_envs)`: the same as that many `TabletopEnv`, several times as fast.

    An episode that has ended begins anew in the next step (`AutoresetMode.NEXT_STEP`), which ignores its action.

    Args:
        num_envs: N, the number of environments.
        max_episode_steps: the steps after which an episode is truncated; None for no limit.
        render_mode: the mode, as in `TabletopEnv`; `render` gives a tuple of N pictures.
        settings: see `EnvironmentConfig`.

    Raises:
        InputError: for an unusable setting.
    """

    metadata = {**RENDER_METADATA, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        num_envs = whole("environment", "num_envs", num_envs, 1)
        if max_episode_steps is not None:
            max_episode_steps = whole("environment", "max_episode_steps", max_episode_steps, 1)
        self.config, self.num_envs, self._limit = EnvironmentConfig.of(settings), num_envs, max_episode_steps
        self.render_mode = check_render_mode(render_mode)
        self._renderer = PortableRenderer(self.config.render_config, self.config.renderer)
        self._episodes = Episodes(self.config, self._renderer, num_envs)
        self.layout = self._episodes.layout
        self.single_action_space, self.single_observation_space = self.layout.box(), observation_space(self.config)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._seeded: list[tuple[np.random.Generator, int] | None] = [None] * num_envs
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, np.bool_)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """One generator for each environment, made from a random seed where `reset` was given none."""
        return tuple(self._generator(i)[0] for i in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds that the generators were made from."""
        return tuple(self._generator(i)[1] for i in range(self.num_envs))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: seeds environment i with `seed + i`, or with the i-th of N seeds; None keeps the generators.
            options: "reset_mask", (N,) bool: which to begin. For those R that begin, "target": R
                pictures to explain, and "start": R scenes to start from.
        """
        options = check_options(options, ("reset_mask", "target", "start"))
        rows = np.flatnonzero(self._mask(options.get("reset_mask")))
        seeds = natural(seed)
        if isinstance(seeds, int):
            seeds = tuple(seeds + i for i in range(self.num_envs))
        if seeds is not None and (not isinstance(seeds, tuple) or len(seeds) != self.num_envs):
            raise InputError(f"reset: seed is {shown(seed)}; give a number, or one for each of {self.num_envs}")
        seeds = None if seeds is None else [check_seed(one) for one in seeds]
        for i in rows.tolist():
            if seeds is not None and seeds[i] is not None:
                self._seeded[i] = seeding.np_random(seeds[i])
        self._episodes.begin(rows.tolist(), self._generators(rows), options.get("target"), options.get("start"))
        self._steps[rows], self._ended[rows] = 0, False
        begun = np.zeros(self.num_envs, np.bool_)
        begun[rows] = True
        return observe(self._episodes), self._info(begun, begun)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Do one step of each; those that ended in the last one begin anew."""
        rows = np.flatnonzero(self._ended)
        outcome = self._episodes.step(actions, rows.tolist(), self._generators(rows))
        self._steps = np.where(self._ended, 0, self._steps + 1)
        truncated = np.zeros(self.num_envs, np.bool_) if self._limit is None else self._steps >= self._limit
        self._ended = outcome.terminated | truncated
        info = self._info(np.ones(self.num_envs, np.bool_), outcome.valid)
        return observe(self._episodes), outcome.reward, outcome.terminated, truncated, info

    def preview(self, actions: NDArray[np.floating]) -> NDArray[np.float64]:
        """The rewards (N, K) that each of K actions (N, K, A) would bring; the scenes stay as they are."""
        return self._episodes.preview(actions)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Draw each environment as `TabletopEnv.render` does; None, with a warning, without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render mode: gymnasium.make_vec(..., render_mode='rgb_array')")
            return None
        return tuple(panels(*pair) for pair in zip(self._episodes.targets, self._episodes.pictures, strict=True))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _mask(self, mask: object) -> Flags:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        mask = np.asarray(mask)
        if mask.shape == (self.num_envs,) and mask.dtype == np.bool_ and mask.any():
            return mask
        raise InputError(f"reset: reset_mask must be a boolean array of shape ({self.num_envs},), some of it True")

    def _generator(self, i: int) -> tuple[np.random.Generator, int]:
        found = self._seeded[i]
        if found is None:
            found = self._seeded[i] = seeding.np_random()
        return found

    def _generators(self, rows: NDArray[np.int64]) -> list[np.random.Generator]:
        return [self._generator(int(i))[0] for i in rows]

    def _info(self, told: Flags, valid: Flags) -> dict[str, Any]:
        """Join the infos of N environments as Gymnasium does: arrays, each with a mask of those that have it."""
        e = self._episodes
        parts = {"log_likelihood": e.log_likelihood, "renders": e.renders.copy(), "valid": valid.copy()}
        info = _masked(parts, told)
        if self.config.reveal and (knows := told & e.known).any():
            info |= {"truth": _masked(describe(e.truth), knows), "_truth": knows.copy()}
        return info


def _masked(parts: dict[str, NDArray[Any]], told: Flags) -> dict[str, Any]:
    """Fill every part with zeros where it is absent; add the mask under its name with an underscore."""
    info: dict[str, Any] = {}
    for name, part in parts.items():
        info[name] = np.where(told.reshape(-1, *[1] * (part.ndim - 1)), part, np.zeros((), part.dtype))
        info[f"_{name}"] = told.copy()
    return info
