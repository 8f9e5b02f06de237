"""Draws the table from above: the truth in its colours, the answer outlined in red, posterior samples in thin red.

The picture is turned so that the true camera (else the inferred one) is at the bottom, as the image's viewer is; the
answer keeps its place in the world beside the truth, so an error of the camera's azimuth turns nothing but the
red camera. Cameras stand nearer than they are: beyond the table their distance is drawn to a smaller scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import cos, hypot, pi, sin
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.evaluation.outline import outline_m
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene, SceneObject, Table

Floats = NDArray[np.float64]
Role = Literal["table", "place", "truth", "inferred", "drawn"]

RED = "#e0142c"
# Half the picture's side, in table radii: room for a camera.
_EXTENT = 1.27
_BEYOND_TABLE = 0.1
_FRUSTUM = 0.2


class Shape(NamedTuple):
    """A closed polygon.

    Attributes:
        role: names what the shape shows.
        points: (P, 2) in the picture, x right and y up, both within [-1, 1].
        colour: the fill, "#rrggbb"; empty for the role's own.
    """

    role: Role
    points: Floats
    colour: str = ""


def top_view_shapes(truth: Scene | None, inferred: Scene | None, drawn: Sequence[Scene] = ()) -> list[Shape]:
    """The shapes of the picture, from the bottom up.

    Args:
        truth, inferred: either may be missing, not both.
        drawn: the posterior samples.

    Raises:
        InputError: if both are missing.
    """
    first = truth or inferred
    if first is None:
        raise InputError("top view: neither a true nor an inferred scene is given; one is needed")
    # Turned so that the camera's right is the picture's.
    table, (right_x, right_y) = first.table, first.camera.sized(1, 1).frame[:2, 0]
    shapes = [Shape("table", table.top.outline()), Shape("place", table.place.outline())]
    if truth is not None:
        shapes += [Shape("truth", points, _hex(item)) for item in truth.objects for points in _object(item)]
        shapes.append(Shape("truth", _camera(truth.camera.sized(1, 1), table)))
    for scene in drawn:
        shapes += [Shape("drawn", points) for item in scene.objects for points in _object(item)]
        shapes.append(Shape("drawn", _camera(scene.camera.sized(1, 1), table)))
    if inferred is not None:
        shapes += [Shape("inferred", points) for item in inferred.objects for points in _object(item)]
        shapes.append(Shape("inferred", _camera(inferred.camera.sized(1, 1), table)))
    rotation = np.array([[right_x, -right_y], [right_y, right_x]]) / (_EXTENT * table.radius_m)
    return [shape._replace(points=shape.points @ rotation) for shape in shapes]


def top_view_svg(truth: Scene | None, inferred: Scene | None, alt: str, drawn: Sequence[Scene] = ()) -> str:
    """Draw one picture, 200 units wide, that stands alone; in a page its colours are --table, --line and --ink."""
    style = {
        "table": "fill:var(--table,#eadfce)",
        "place": "fill:none;stroke:var(--line,#b9ab97);stroke-width:.6;stroke-dasharray:2.5",
        "truth": "stroke:var(--ink,#222);stroke-width:.7",
        "inferred": f"fill:none;stroke:{RED};stroke-width:1.6",
        "drawn": f"fill:none;stroke:{RED};stroke-width:.8;stroke-opacity:{drawn_opacity(len(drawn)):.3f}",
    }
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="top" viewBox="-100 -100 200 200" role="img" '
        f'aria-label="{escape(alt)}">'
    ]
    for role, points, colour in top_view_shapes(truth, inferred, drawn):
        corners = " ".join(f"{100.0 * x:.1f},{-100.0 * y:.1f}" for x, y in points)
        if role == "inferred":  # red lines have to be seen on red mugs too
            parts.append(f'<polygon points="{corners}" style="fill:none;stroke:#fff;stroke-width:3;opacity:.7"/>')
        paint = f";fill:{colour or 'var(--ink,#222)'}" if role == "truth" else ""
        parts.append(f'<polygon points="{corners}" style="{style[role]}{paint}"/>')
    return "".join([*parts, "</svg>"])


def drawn_opacity(samples: int) -> float:
    """The opacity of one sample, such that many that agree are clearly seen and hide nothing."""
    return min(max(0.1, 5.0 / max(samples, 1)), 0.8)


def _object(item: SceneObject) -> list[Floats]:
    kind = get_kind(item.kind)
    frame = item.frame()
    outline = outline_m(item.kind)
    parts = [outline]
    radii = np.linalg.norm(outline, axis=1)
    if radii.min() > 0.9 * radii.max():  # spokes tell a yaw that a round outline does not
        ends = [2.0 * pi * k / kind.symmetry.yaw_order for k in range(kind.symmetry.yaw_order)]
        parts += [np.array([[0.0, 0.0], [radii.max() * cos(a), radii.max() * sin(a)]]) for a in ends]
    return [item.scale * points @ frame[:2, :2].T + frame[:2, 3] for points in parts]


def _camera(camera: Camera, table: Table) -> Floats:
    """The shape of a camera: its field of view from the eye, cut off."""
    frame = camera.frame
    right, eye = frame[:2, 0], frame[:2, 3]
    distance = hypot(*eye)
    nearer = (table.radius_m + _BEYOND_TABLE * (distance - table.radius_m)) / max(distance, 1e-9)
    depth = _FRUSTUM * table.radius_m
    half = depth * camera.width / 2.0 / camera.focal_px[0]
    backward = np.array([right[1], -right[0]])
    return np.array([[0.0, 0.0], [-depth, half], [-depth, -half]]) @ np.stack([backward, right]) + nearer * eye


def _hex(item: SceneObject) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in item.rgb)
