"""Crockery unwrapped onto a square texture: u runs around, v from the foot up the outside, over the rim and inside.

Above the inside two bands of one colour each serve the parts that are not turned: fittings (handle, knob), and those
that look like the body (a spout).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.families.vessel import Vessel
from air3d.scene3d.meshes.surface import DISPLAY, Mesh, Part, Resolution, merged

# Where the rim lies in v, the middle of the floor, and the two bands begin. Beyond the middle colours run on, so that
# filtering mixes in nothing foreign.
RIM_V, CENTRE_V, FITTINGS_V, PLAIN_V = 0.47, 0.87, 0.89, 0.945
_FITTINGS_MIDDLE, _PLAIN_MIDDLE = (FITTINGS_V + PLAIN_V) / 2.0, (PLAIN_V + 1.0) / 2.0


class Canvas(NamedTuple):
    """Says what the rows of a texture show, row 0 at the top.

    Attributes:
        radius_m: (R,), the radius of the surface there.
        rim_m: (R,), the distance from the rim, along the surface.
        share: (R,), that distance as a share of its side's length.
        inside: (R,), whether it is inside.
        fittings, plain: (R,), the two bands of one colour.
        turn: (R,), the columns' angles about the vertical, in turns.
    """

    radius_m: Floats
    rim_m: Floats
    share: Floats
    inside: Bools
    fittings: Bools
    plain: Bools
    turn: Floats


def unwrapped(vessel: Vessel, detail: Resolution) -> Mesh:
    """Make the mesh with texture coordinates."""
    body, *others = vessel.parts(detail)
    meshes = [_body(body)]
    for number, part in enumerate(others, 1):
        v = _PLAIN_MIDDLE if number in vessel.like_the_body else _FITTINGS_MIDDLE
        mesh = part.mesh()
        uvs = np.tile([0.5, v], (len(mesh.positions_m), 1))
        meshes.append(Mesh(mesh.positions_m, mesh.normals, mesh.faces, uvs))
    return merged(meshes)


def canvas(vessel: Vessel, side: int) -> Canvas:
    """Describe the rows and columns of a texture of `side` pixels."""
    line = vessel.parts(DISPLAY)[0].profile.points_m
    arc, rim, _ = _arcs(line)
    v = 1.0 - (np.arange(side) + 0.5) / side
    outside = v < RIM_V
    inner_m = max(arc[-1] - arc[rim], 1e-6)
    from_rim = np.where(outside, (RIM_V - v) / RIM_V, np.clip((v - RIM_V) / (CENTRE_V - RIM_V), 0.0, 1.0))
    rim_m = from_rim * np.where(outside, arc[rim], inner_m)
    at = np.where(outside, arc[rim] - rim_m, arc[rim] + rim_m)
    return Canvas(
        radius_m=np.interp(at, arc, line[:, 0]),
        rim_m=rim_m,
        share=from_rim,
        inside=(v >= RIM_V) & (v < FITTINGS_V),
        fittings=(v >= FITTINGS_V) & (v < PLAIN_V),
        plain=v >= PLAIN_V,
        turn=(np.arange(side) + 0.5) / side,
    )


def _body(part: Part) -> Mesh:
    arc, rim, top = _arcs(part.profile.points_m)
    inner_m = max(arc[-1] - arc[rim], 1e-6)
    v = np.where(top, RIM_V * arc / arc[rim], RIM_V + (CENTRE_V - RIM_V) * (arc - arc[rim]) / inner_m)
    mesh = part.mesh()
    around = np.tile(np.arange(part.sides + 1) / part.sides, len(arc))
    return Mesh(mesh.positions_m, mesh.normals, mesh.faces, np.stack([around, v.repeat(part.sides + 1)], axis=1))


def _arcs(line: Floats) -> tuple[Floats, int, Bools]:
    """The arc lengths (P,) of a profile, the number of its highest point, and which points come no later."""
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    rim = int(line[:, 1].argmax())
    return arc, rim, np.arange(len(arc)) <= rim
