"""Draws what `render()` shows: target, current rendering and their difference, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import enlarge
from air3d.scene3d.errors import InputError

RENDER_METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}
# Small pictures are enlarged to about this many pixels.
_SIDE = 256
_GAP = 8
_GREY = 128


def check_render_mode(mode: str | None) -> str | None:
    """Return the mode.

    Raises:
        InputError: if there is no such mode.
    """
    if mode is not None and mode not in RENDER_METADATA["render_modes"]:
        raise InputError(f"environment: render_mode is '{mode}'; use 'rgb_array' or None")
    return mode


def panels(target: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Join two pictures (S, S, 3), and target minus picture around mid-grey at half contrast, as one (H, W, 3)."""
    difference = _GREY + (target.astype(np.int16) - picture) // 2
    factor = max(_SIDE // len(target), 1)
    shown = [enlarge(part.astype(np.uint8), factor) for part in (target, picture, difference)]
    gap = np.full((len(shown[0]), _GAP, 3), 255, np.uint8)
    return np.concatenate([shown[0], gap, shown[1], gap, shown[2]], axis=1)
