"""Analysis by synthesis as one environment: explain a picture by editing a scene until its rendering looks the same."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from air3d.environments.config import EnvironmentConfig
from air3d.environments.episodes import Episodes
from air3d.environments.observation import Observation, describe, observation_space, observe
from air3d.environments.panels import RENDER_METADATA, check_render_mode, panels
from air3d.environments.reset_options import check_options, check_seed
from air3d.renderers.portable import PortableRenderer


class TabletopEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """`gymnasium.make("air3d/TableTop-v0")`; spaces, reward and options are in docs/environment.md.

    Args:
        render_mode: None, or "rgb_array", which shows target, current rendering and their difference side by side.
        settings: see `EnvironmentConfig`.

    Raises:
        InputError: for an unusable setting.
    """

    metadata = RENDER_METADATA

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.config = EnvironmentConfig.of(settings)
        self.render_mode = check_render_mode(render_mode)
        self._renderer = PortableRenderer(self.config.render_config, self.config.renderer, workers=1)
        self._episodes = Episodes(self.config, self._renderer, 1)
        self.layout = self._episodes.layout
        self.action_space = self.layout.box()
        self.observation_space = observation_space(self.config)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            options: "target", a picture to explain instead of a drawn scene, of any form that `air3d.infer` takes;
                "start", a `Scene` to start from instead of the bare table.
        """
        super().reset(seed=check_seed(seed))
        options = check_options(options, ("target", "start"))
        target, start = options.get("target"), options.get("start")
        self._episodes.begin(
            [0],
            [self.np_random],
            None if target is None else [target],
            None if start is None else [start],
        )
        return self._observation(), self._info(valid=True)

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do one action; truncation is left to `gymnasium.wrappers.TimeLimit`, which `gymnasium.make` adds."""
        outcome = self._episodes.step(np.asarray(action)[None], (), ())
        info = self._info(bool(outcome.valid[0]))
        return self._observation(), float(outcome.reward[0]), bool(outcome.terminated[0]), False, info

    def preview(self, actions: NDArray[np.floating]) -> NDArray[np.float64]:
        """The rewards (K,) that each of K actions (K, A) would bring, drawn in one batch; the scene stays as it is."""
        return self._episodes.preview(np.asarray(actions)[None])[0]

    def render(self) -> NDArray[np.uint8] | None:
        """Draw target, current rendering and difference; None, with a warning, without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render mode: gymnasium.make(..., render_mode='rgb_array')")
            return None
        return panels(self._episodes.targets[0], self._episodes.pictures[0])

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _observation(self) -> Observation:
        return {name: part[0] for name, part in observe(self._episodes).items()}

    def _info(self, valid: bool) -> dict[str, Any]:
        info: dict[str, Any] = {
            "log_likelihood": float(self._episodes.log_likelihood[0]),
            "renders": int(self._episodes.renders[0]),
            "valid": valid,
        }
        if self.config.reveal and self._episodes.known[0]:
            info["truth"] = {name: part[0] for name, part in describe(self._episodes.truth).items()}
        return info
