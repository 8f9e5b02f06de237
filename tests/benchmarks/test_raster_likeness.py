"""What the comparison of renderers says of pictures that are known to be the same, dimmed, or moved."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from air3d.renderers.protocol import Frames

Script = Callable[[str], ModuleType]


def disc(row: float, dim: int = 0) -> Frames:
    y, x = np.mgrid[:64, :64]
    mask = (y - row) ** 2 + (x - 30.0) ** 2 < 200.0
    texture = 100 + 50 * np.sin(x) * np.cos(1.3 * y)
    rgb = np.where(mask, texture - dim, 30.0)[..., None].repeat(3, axis=-1).astype(np.uint8)
    return Frames(rgb[None], np.where(mask, 1.0, np.inf)[None].astype(np.float32), mask[None].astype(np.uint8))


def test_the_same_the_dimmed_and_the_moved(script: Script) -> None:
    likeness = script("raster_likeness").likeness
    same = likeness(disc(30.0), disc(30.0))
    assert same["ssim"] == same["ssim_of_objects"] == pytest.approx(1.0) and same["other_label"] == 0.0
    dimmed = likeness(disc(30.0), disc(30.0, dim=5))
    assert 4.0 <= dimmed["colour_of_objects"] <= 6.0 and dimmed["farther_than_a_pixel"] == 0
    near, far = likeness(disc(30.0), disc(31.0)), likeness(disc(30.0), disc(33.0))
    assert near["farther_than_a_pixel"] == 0 < near["other_label"]
    assert far["farther_than_a_pixel"] > 20 and far["ssim_of_objects"] < near["ssim_of_objects"] < 0.99


def test_ssim_is_that_of_its_paper(script: Script) -> None:
    """Of two flat pictures only the term of means is left."""
    a, b = (np.full((1, 32, 32, 3), value, np.uint8) for value in (100, 150))
    c1 = (0.01 * 255) ** 2
    want = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert script("raster_likeness").similarity(a, b) == pytest.approx(want)
