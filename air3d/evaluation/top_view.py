"""The table seen from above, as SVG: the truth outlined, the inference filled."""

from __future__ import annotations

from html import escape
from math import cos, sin

from scene3d.catalog import get_kind
from scene3d.scene import Scene, SceneObject


def top_view_svg(truth: Scene | None, inferred: Scene, alt: str) -> str:
    """One picture, 200 units wide; the camera is at the bottom, as in the image."""
    radius = inferred.table.radius_m * 1.08
    turn = -90.0 + _degrees(-inferred.camera.azimuth_rad)
    parts = [
        f'<svg class="top" viewBox="-100 -100 200 200" role="img" aria-label="{escape(alt)}">',
        f'<g transform="scale({100 / radius:.4f} {-100 / radius:.4f}) rotate({turn:.3f})">',
        f'<circle r="{inferred.table.radius_m}" class="table"/>',
        f'<circle r="{inferred.table.place_radius_m}" class="place"/>',
    ]
    parts += [_object(item, "inferred") for item in inferred.objects]
    parts += [_object(item, "truth") for item in (truth.objects if truth is not None else ())]
    return "".join([*parts, "</g></svg>"])


def _object(item: SceneObject, role: str) -> str:
    kind = get_kind(item.kind)
    r, g, b = (round(255 * c) for c in item.rgb)
    paint = f'style="fill:rgb({r},{g},{b})"' if role == "inferred" else ""
    if item.kind == "cube":
        half = kind.height_m / 2 * item.scale
        corner = [(half, half), (-half, half), (-half, -half), (half, -half)]
        c, s = cos(item.yaw_rad), sin(item.yaw_rad)
        points = " ".join(f"{item.x_m + c * x - s * y:.4f},{item.y_m + s * x + c * y:.4f}" for x, y in corner)
        shape = f'<polygon points="{points}" class="{role}" {paint}/>'
    else:
        shape = "".join(_circle(item, c.x_m, c.y_m, c.radius_m, role, paint) for c in kind.footprint)
    if kind.symmetry.continuous_yaw:
        return shape
    reach = kind.footprint[0].radius_m * item.scale
    tip_x, tip_y = item.x_m + reach * cos(item.yaw_rad), item.y_m + reach * sin(item.yaw_rad)
    return shape + f'<path d="M{item.x_m:.4f},{item.y_m:.4f}L{tip_x:.4f},{tip_y:.4f}" class="yaw {role}"/>'


def _circle(item: SceneObject, x: float, y: float, radius: float, role: str, paint: str) -> str:
    c, s = cos(item.yaw_rad) * item.scale, sin(item.yaw_rad) * item.scale
    centre_x, centre_y = item.x_m + c * x - s * y, item.y_m + s * x + c * y
    return f'<circle cx="{centre_x:.4f}" cy="{centre_y:.4f}" r="{radius * item.scale:.4f}" class="{role}" {paint}/>'


def _degrees(angle_rad: float) -> float:
    return angle_rad * 57.29577951308232
