"""A cup as a scanner would give it: thin walls, thousands of triangles, two materials with pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# The outline from the axis and back to it, (radius, height) in metres: up the outside, over the rim, down the inside.
OUTLINE_M = np.array(
    [(0.0, 0.0), (0.024, 0.0), (0.026, 0.004), (0.034, 0.06), (0.038, 0.07), (0.036, 0.071), (0.031, 0.06),
     (0.023, 0.006), (0.0, 0.004)]
)  # fmt: skip
_INSIDE = 5  # sides of the outline from here on are inside
_SECTORS, _CUTS = 48, 2


def painted_cup(folder: Path) -> Path:
    """Write `cup.obj` with its materials and pictures into a folder; return it."""
    rng = np.random.default_rng(3)
    for name, low, high in (("outside", (120, 20, 20), (255, 200, 160)), ("inside", (20, 60, 20), (200, 255, 220))):
        coarse = rng.uniform(low, high, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    (folder / "cup.mtl").write_text("newmtl outside\nmap_Kd outside.png\nnewmtl inside\nmap_Kd inside.png\n")
    share = np.linspace(0.0, len(OUTLINE_M) - 1.0, (len(OUTLINE_M) - 1) * _CUTS + 1)
    radius, height = (np.interp(share, np.arange(len(OUTLINE_M)), column) for column in OUTLINE_M.T)
    angle = np.linspace(0.0, 2.0 * np.pi, _SECTORS + 1)
    lines = ["mtllib cup.mtl"]
    for k in range(len(share)):
        for a in angle:
            lines.append(f"v {radius[k] * np.cos(a):.6f} {radius[k] * np.sin(a):.6f} {height[k]:.6f}")
            lines.append(f"vt {a / (2.0 * np.pi):.5f} {k / len(share):.5f}")
    for k in range(len(share) - 1):
        if k in (0, _INSIDE * _CUTS):
            lines.append(f"usemtl {'inside' if k else 'outside'}")
        for s in range(_SECTORS):
            a, b = k * (_SECTORS + 1) + s + 1, (k + 1) * (_SECTORS + 1) + s + 1
            if radius[k] > 0.0:
                lines.append(f"f {a}/{a} {a + 1}/{a + 1} {b}/{b}")
            if radius[k + 1] > 0.0:
                lines.append(f"f {a + 1}/{a + 1} {b + 1}/{b + 1} {b}/{b}")
    (folder / "cup.obj").write_text("\n".join(lines) + "\n")
    return folder / "cup.obj"
