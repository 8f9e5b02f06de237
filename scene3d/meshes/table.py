"""Table tops, of six planks whose colours tell where +x is: a disc of unit radius, the square around it, and a bin.

All reach from -1 to 1 along x and y, and have z in [-1, 0]: the top face is z = 0. The compiler scales x and y by
half the table's sides (a disc's radius) and z by its thickness, so that the objects stand at z = 0. The bin's walls
stand around the square, outside it.
"""

from __future__ import annotations

import numpy as np

from air3d.scene3d.meshes.profile import Array, Corner, rounded_profile
from air3d.scene3d.meshes.surface import DISPLAY, Mesh, merged, polygon_stretch, revolve

PLANKS = 6

# sRGB in [0, 1], plank i covers x in [-1 + i/3, -1 + (i+1)/3]: dark at -x, light at +x. The grading
# has no symmetry, so that even 64x64 pixels show the camera's azimuth; all are browns of middle
# brightness, apart from the white, the dark and the saturated colours of the objects.
PLANK_COLOURS: tuple[tuple[float, float, float], ...] = (
    (0.36, 0.24, 0.14),
    (0.44, 0.30, 0.18),
    (0.52, 0.37, 0.22),
    (0.60, 0.44, 0.27),
    (0.68, 0.51, 0.32),
    (0.76, 0.58, 0.37),
)

# How thick the bin's walls are, in half sides of its floor, and how high, in thicknesses of the floor.
WALL, WALL_TOP = 0.05, 4.0
# How far below the floor its box ends above the walls' feet: so that no edge is shared.
_SUNK = 0.1

# Longest arc of a plank's rim, radians; the display disc has this many sides.
_RIM_STEP_RAD = 0.21
_DISPLAY_SIDES = 128


def plank_edges() -> Array:
    """The x coordinates (7,) between which the planks lie, on the disc of unit radius."""
    return -1.0 + 2.0 * np.arange(PLANKS + 1) / PLANKS


def plank(index: int) -> Mesh:
    """Plank `index` of the inference table: a closed prism over a strip of the disc."""
    left, right = plank_edges()[index : index + 2]
    # Angles of the strip's corners on the upper half of the rim, from right to left.
    start, end = np.arccos(right), np.arccos(left)
    pieces = int(np.ceil((end - start) / _RIM_STEP_RAD))
    upper = start + (end - start) * np.arange(pieces + 1) / pieces
    # A tip of the disc is one corner, not two.
    lower = -upper[::-1][np.array([left > -1.0] + [True] * (pieces - 1) + [right < 1.0])]
    angle = np.concatenate([upper, lower])
    return _prism(np.stack([np.cos(angle), np.sin(angle)], axis=1))


def disc() -> Mesh:
    """The display table: one smooth disc, on which `assets/textures/table.png` lies as seen from above."""
    radius = 1.0 / polygon_stretch(_DISPLAY_SIDES)
    outline = [Corner(0.0, -1.0), Corner(radius, -1.0), Corner(radius, 0.0), Corner(0.0, 0.0)]
    mesh = revolve(rounded_profile(outline, DISPLAY.tolerance_m), _DISPLAY_SIDES)
    return Mesh(mesh.positions_m, mesh.normals, mesh.faces, (mesh.positions_m[:, :2] + 1.0) / 2.0)


def square_plank(index: int) -> Mesh:
    """Make plank `index` of the square at inference detail: a box."""
    left, right = plank_edges()[index : index + 2]
    return _prism(np.array([(left, -1.0), (right, -1.0), (right, 1.0), (left, 1.0)]))


def square() -> Mesh:
    """Make the square at display detail: one box, on which the same texture lies."""
    box = _prism(np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]))
    return Mesh(box.positions_m, box.normals, box.faces, (box.positions_m[:, :2] + 1.0) / 2.0)


def bin_plank(index: int) -> Mesh:
    """Make plank `index` of the bin at inference detail: closed boxes that reach into each other."""
    left, right = plank_edges()[index : index + 2]
    ends = [end for end, outer in ((left, index == 0), (right, index == PLANKS - 1)) if outer]
    # The floor and the walls along x reach half into those across.
    left, right = (end + 0.5 * WALL * np.sign(end) if end in ends else end for end in (left, right))
    return merged([_box(*box) for box in _bin_boxes(left, right, ends)])


def whole_bin() -> Mesh:
    """Make the bin at display detail, on which the same texture lies, seen from above."""
    half = 1.0 + 0.5 * WALL
    boxes = merged([_box(*box) for box in _bin_boxes(-half, half, [-1.0, 1.0])])
    uvs = np.clip((boxes.positions_m[:, :2] + 1.0) / 2.0, 0.0, 1.0)
    return Mesh(boxes.positions_m, boxes.normals, boxes.faces, uvs)


_Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def _bin_boxes(left: float, right: float, ends: list[float]) -> list[_Box]:
    """The ranges of x, y and z of a bin's boxes: the floor from left to right, walls beside it, and walls at ends."""
    half, tall = 1.0 + 0.5 * WALL, (-1.0, WALL_TOP)
    boxes: list[_Box] = [((left, right), (-half, half), (_SUNK - 1.0, 0.0))]
    boxes += [((left, right), (min(s, s + s * WALL), max(s, s + s * WALL)), tall) for s in (-1.0, 1.0)]
    outer = 1.0 + WALL
    return boxes + [((min(e, e * outer), max(e, e * outer)), (-outer, outer), tall) for e in ends]


def _box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Mesh:
    """A box with hard edges, by its ranges."""
    mesh = _prism(np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]))
    positions = mesh.positions_m.copy()
    positions[:, 2] = np.where(positions[:, 2] < -0.5, z[0], z[1])
    return Mesh(positions, mesh.normals, mesh.faces)


def _prism(outline: Array) -> Mesh:
    """A prism of z in [-1, 0] over a convex counter-clockwise `outline` (M, 2), with hard edges."""
    m = len(outline)
    following = np.roll(outline, -1, axis=0)
    side = following - outline
    outward = np.stack([side[:, 1], -side[:, 0], np.zeros(m)], axis=1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)

    def at(points: Array, z: float) -> Array:
        return np.column_stack([points, np.full(len(points), z)])

    up = np.array([0.0, 0.0, 1.0])
    positions = [at(outline, 0.0), at(outline, -1.0)]
    positions += [at(outline, -1.0), at(following, -1.0), at(following, 0.0), at(outline, 0.0)]
    normals = [np.tile(up, (m, 1)), np.tile(-up, (m, 1))] + [outward] * 4
    fan = np.stack([np.zeros(m - 2, dtype=np.int64), np.arange(1, m - 1), np.arange(2, m)], axis=1)
    a, b, c, d = (np.arange(m) + m * k for k in range(2, 6))
    faces = [fan, fan[:, ::-1] + m, np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
    return Mesh(np.concatenate(positions), np.concatenate(normals), np.concatenate(faces))
