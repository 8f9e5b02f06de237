"""A kind of the user's own: a cube lit as if it were round, each normal 55 degrees off its faces."""

from __future__ import annotations

import io
import itertools

import numpy as np
from PIL import Image

from air3d.scene3d.kind import Circle, Kind
from air3d.scene3d.own_kinds import install
from air3d.scene3d.symmetry import Symmetry

_HALF_M = 0.04
_SIDES = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")


def round_cube(textured: bool) -> str:
    """Put the cube into the cache of kinds, with a picture or without; return its full name."""
    corners = list(itertools.product((-1, 1), repeat=3))
    lines = [f"v {x * _HALF_M:.6f} {y * _HALF_M:.6f} {(z + 1) * _HALF_M:.6f}" for x, y, z in corners]
    lines += [f"vn {x / 3**0.5:.6f} {y / 3**0.5:.6f} {z / 3**0.5:.6f}" for x, y, z in corners]
    lines += ["vt 0.0 0.0", "vt 1.0 0.0", "vt 1.0 1.0", "vt 0.0 1.0"] if textured else []
    for side in _SIDES:
        words = [f"{v}/{k if textured else ''}/{v}" for k, v in enumerate(side.split(), start=1)]
        lines += [f"f {' '.join(words[:3])}", f"f {words[0]} {words[2]} {words[3]}"]
    mesh = "\n".join(lines).encode() + b"\n"
    parts = {"inference.obj": mesh, "display.obj": mesh}
    if textured:
        picture = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(90, 255, (16, 16, 3), dtype=np.uint8)).save(picture, "PNG")
        parts["texture.png"] = picture.getvalue()
    kind = Kind("round_cube", (1.0, 0.9, 0.8), 2.0 * _HALF_M, (Circle(0.0, 0.0, 0.057),), Symmetry())
    return install(kind, parts)
