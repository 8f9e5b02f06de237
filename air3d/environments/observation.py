"""Observations of episodes: the spaces, and the arrays that lie in them."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from gymnasium.spaces import Box, Dict, MultiBinary, MultiDiscrete, Space
from numpy.typing import NDArray

from air3d.environments.config import EnvironmentConfig
from air3d.environments.episodes import Episodes
from air3d.scene3d.batch import SceneBatch

Observation = dict[str, NDArray[Any]]


def observation_space(config: EnvironmentConfig) -> Space[Observation]:
    """The space of one episode's observations; docs/environment.md lists its parts."""
    n, size, camera = config.max_objects, config.image_size, config.prior.orbits
    low = np.array([-math.pi, 0.0, 0.0], np.float32)
    high = np.array([math.pi, math.pi / 2.0, 2.0 * camera.distance_m[1]], np.float32)
    half_x, half_y = config.prior.table.place.half_extents_m
    parts = Dict(
        {
            "target": Box(0, 255, (size, size, 3), np.uint8),
            "render": Box(0, 255, (size, size, 3), np.uint8),
            "present": MultiBinary(n),
            "kind": MultiDiscrete([len(config.kinds)] * n),
            "x_m": Box(-half_x, half_x, (n,), np.float32),
            "y_m": Box(-half_y, half_y, (n,), np.float32),
            "yaw_rad": Box(-math.pi, math.pi, (n,), np.float32),
            "camera": Box(low, high, dtype=np.float32),
        }
    )
    return cast("Space[Observation]", parts)  # Gymnasium types it as a dictionary of spaces


def observe(episodes: Episodes) -> Observation:
    """Observations of B episodes, each part with a leading axis B; the arrays are new ones."""
    pictures = {"target": episodes.targets.copy(), "render": episodes.pictures.copy()}
    return pictures | describe(episodes.scenes)


def describe(scenes: SceneBatch) -> Observation:
    """Describe B scenes by those parts of an observation that tell of a scene; zeros in empty slots."""
    camera = [scenes.camera_azimuth_rad, scenes.camera_elevation_rad, scenes.camera_distance_m]
    present = scenes.present
    return {
        "present": present.astype(np.int8),
        "kind": np.where(present, scenes.kind, 0),
        "x_m": np.where(present, scenes.position_m[..., 0], 0.0).astype(np.float32),
        "y_m": np.where(present, scenes.position_m[..., 1], 0.0).astype(np.float32),
        "yaw_rad": np.where(present, scenes.yaw_rad, 0.0).astype(np.float32),
        "camera": np.stack(camera, axis=-1).astype(np.float32),
    }
