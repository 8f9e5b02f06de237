"""The crockery: mug, plate, bowl, pan, teapot, glass, as profiles with real wall thickness, and swept handles.

Each function lists the parts of one kind, from which both its meshes and its bodies for collisions are made.

Radii are nominal, those of the smooth object. Coarse rings are stretched to keep their area
(`surface.polygon_stretch`) and still stay inside the catalog's footprint: hence 0.0444 and not 0.045.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from air3d.scene3d.meshes.profile import REST, Corner, fillet, rounded_profile, subdivided
from air3d.scene3d.meshes.surface import Mesh, Part, Path, Resolution, merged


def mug(detail: Resolution) -> tuple[Part, ...]:
    """A straight mug with a C-shaped handle along +x; the handle's ends are buried in the wall."""
    outer, inner, rim = 0.0444, 0.0400, 0.0022
    body = [
        *_underside(0.0340, 0.0010, detail),
        fillet(outer, 0.0000, 0.0080),
        fillet(outer, 0.1000, rim),
        fillet(inner, 0.1000, rim),
        fillet(inner, 0.0055, 0.0080),
        Corner(0.0, 0.0055),
    ]
    handle = ((0.0423, 0.0795), (0.0902, 0.0795), (0.0902, 0.0245), (0.0423, 0.0245))
    return _turned(body, detail.tolerance_m, detail.sides), _bar(detail, radius_m=0.0070, path=handle)


def plate(detail: Resolution) -> tuple[Part, ...]:
    """A dinner plate: foot, flat well, a wide rim that rises outward."""
    detail = detail._replace(sides=detail.sides * 5 // 4)
    outline = [
        *_underside(0.0540, 0.0015, detail),
        fillet(0.0580, 0.0000, 0.0010),
        fillet(0.0700, 0.0085, 0.0050),
        fillet(0.0990, 0.0184, 0.0014),
        fillet(0.0990, 0.0220, 0.0014),
        fillet(0.0968, 0.0220, 0.0006),
        fillet(0.0690, 0.0125, 0.0050),
        fillet(0.0600, 0.0050, 0.0060),
        Corner(0.0, 0.0050),
    ]
    return (_turned(outline, detail.tolerance_m, detail.sides),)


def bowl(detail: Resolution) -> tuple[Part, ...]:
    """A round bowl on a low foot."""
    outline = [
        *_underside(0.0270, 0.0012, detail),
        fillet(0.0320, 0.0000, 0.0010),
        Corner(0.0320, 0.0040),
        fillet(0.0660, 0.0060, 0.0335),
        fillet(0.0737, 0.0650, 0.0022),
        fillet(0.0691, 0.0650, 0.0022),
        fillet(0.0615, 0.0100, 0.0345),
        Corner(0.0, 0.0100),
    ]
    return (_turned(outline, detail.tolerance_m * 1.25, detail.sides * 7 // 8),)


def glass(detail: Resolution) -> tuple[Part, ...]:
    """A tumbler that widens upward, with a thick base."""
    outline = [
        *_underside(0.0230, 0.0010, detail),
        fillet(0.0285, 0.0000, 0.0030),
        fillet(0.0355, 0.1200, 0.0012),
        fillet(0.0330, 0.1200, 0.0012),
        fillet(0.0265, 0.0100, 0.0070),
        Corner(0.0, 0.0100),
    ]
    return (_turned(outline, detail.tolerance_m, detail.sides),)


def pan(detail: Resolution) -> tuple[Part, ...]:
    """A frying pan with a long flat handle along +x, narrow where it enters the wall."""
    body = [
        Corner(0.0, 0.0),
        fillet(0.0780, 0.0000, 0.0080),
        fillet(0.0887, 0.0500, 0.0018),
        fillet(0.0849, 0.0500, 0.0018),
        fillet(0.0747, 0.0045, 0.0080),
        Corner(0.0, 0.0045),
    ]
    path = Path(np.array([(0.0833, 0.0320), (0.1250, 0.0320), (0.1600, 0.0420), (0.1970, 0.0420)]))
    end_m = path.length_m() + 0.0060
    handle = [
        Corner(0.0, 0.0),
        Corner(0.0035, 0.0),
        fillet(0.0035, 0.0140, 0.0080),
        fillet(0.0058, 0.0380, 0.0120),
        Corner(0.0068, end_m, 0.0080, 0.0045),
        Corner(0.0, end_m),
    ]
    handle_profile = subdivided(rounded_profile(handle, detail.tolerance_m), detail.tube_step_m * 2.0)
    return _turned(body, detail.tolerance_m, detail.sides), Part(handle_profile, detail.tube_sides, path, widen=1.7)


def teapot(detail: Resolution) -> tuple[Part, ...]:
    """A round teapot: handle along +x, spout along -x, a lid with a knob.

    The lid is on and stays on, so the body is solid: a cavity nobody can see would only cost triangles.
    """
    body = [
        *_underside(0.0370, 0.0015, detail),
        Corner(0.0410, 0.0000),
        Corner(0.0682, 0.0080, REST, 0.0420),
        Corner(0.0682, 0.0990, REST, REST),
        Corner(0.0350, 0.1080),
        *_lid_step(detail),
        fillet(0.0200, 0.1225, 0.0120),
        Corner(0.0, 0.1240),
    ]
    knob = [
        Corner(0.0, 0.1180),
        Corner(0.0040, 0.1180),
        fillet(0.0108, 0.1280, 0.0020),
        Corner(0.0108, 0.1400, REST, REST),
        Corner(0.0, 0.1400),
    ]
    handle = ((0.0520, 0.0930), (0.1280, 0.1080), (0.1280, 0.0360), (0.0580, 0.0320))
    return (
        _turned(body, detail.tolerance_m, detail.sides * 3 // 4),
        _turned(knob, detail.tolerance_m, detail.tube_sides),
        _bar(detail._replace(tube_step_m=detail.tube_step_m * 1.5), radius_m=0.0065, path=handle),
        _spout(detail),
    )


def _turned(outline: list[Corner], tolerance_m: float, sides: int) -> Part:
    return Part(rounded_profile(outline, tolerance_m), sides)


def _lid_step(detail: Resolution) -> list[Corner]:
    """The edge of the lid, a small step that only the display mesh shows."""
    return [Corner(0.0335, 0.1105)] if detail.tolerance_m < 0.0015 else []


def _spout(detail: Resolution) -> Part:
    """A tapering tube from inside the body up and out along -x, for display with an open mouth of some depth."""
    path = Path(np.array([(-0.0500, 0.0400), (-0.0980, 0.0420), (-0.0820, 0.0900), (-0.1125, 0.1090)]))
    end_m, wall_m = path.length_m(), 0.0020
    outline = [
        Corner(0.0, 0.0),
        Corner(0.0160, 0.0),
        fillet(0.0090, end_m * 0.5, 0.0150),
        fillet(0.0070, end_m, 0.0007),
    ]
    if wall_m > detail.tolerance_m:
        outline += [fillet(0.0070 - wall_m, end_m, 0.0007), Corner(0.0045, end_m - 0.0140)]
    outline.append(Corner(0.0, outline[-1].height_m))
    profile = subdivided(rounded_profile(outline, detail.tolerance_m), detail.tube_step_m * 2.0)
    return Part(profile, detail.tube_sides, path)


def _bar(detail: Resolution, radius_m: float, path: tuple[tuple[float, float], ...]) -> Part:
    """A round bar with flat ends along a Bezier curve in the xz plane, metres."""
    axis = Path(np.array(path))
    end_m = axis.length_m()
    outline = [Corner(0.0, 0.0), Corner(radius_m, 0.0), Corner(radius_m, end_m), Corner(0.0, end_m)]
    profile = subdivided(rounded_profile(outline, detail.tolerance_m), detail.tube_step_m)
    return Part(profile, detail.tube_sides, axis)


def _underside(radius_m: float, depth_m: float, detail: Resolution) -> list[Corner]:
    """The bottom inside the foot ring: hollow for display, flat where nobody would see the difference."""
    if depth_m > 2.0 * detail.tolerance_m:
        return [Corner(0.0, depth_m), Corner(radius_m - depth_m, depth_m), Corner(radius_m, 0.0)]
    return [Corner(0.0, 0.0)]


CROCKERY_PARTS: dict[str, Callable[[Resolution], tuple[Part, ...]]] = {
    "mug": mug,
    "plate": plate,
    "bowl": bowl,
    "pan": pan,
    "teapot": teapot,
    "glass": glass,
}


def crockery_mesh(kind: str, detail: Resolution) -> Mesh:
    """Make the mesh of a kind of crockery."""
    return merged([part.mesh() for part in CROCKERY_PARTS[kind](detail)])
