"""Writes `world.toml`, with comments for the person who reads and edits it (`air3d.scene3d.world_file` reads it)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from air3d.scene3d.world_file import CameraEntry, WorldEntry

_HEAD = """\
# A world for air3d, made from {source}: all that is known before an image is seen.
#   air3d generate tabletop FOLDER --num 1000 --seed 0 --world {own}
# Edit what you like. Lengths are in metres, angles in degrees, files relative to this one.
"""


def world_text(world: WorldEntry, source: str, own: str, counts: Sequence[int]) -> str:
    """Write a world.

    Args:
        source: names the file that it was made from.
        own: the name of the file that is written.
        counts: how often that file has each kind.
    """
    low, high = world.objects
    lines = [
        _HEAD.format(source=source, own=own),
        f"schema = {_text(world.schema)}",
        f"name = {_text(world.name)}",
        f"objects = [{low}, {high}]  # fewest and most in a scene",
        f"repeat = {str(world.repeat).lower()}  # whether a kind may occur more than once in a scene",
        f"pose = {_text(world.pose)}  # upright, resting, settled (by physics) or free (in the air)",
    ]
    if world.size_px is not None:
        lines.append(f"size_px = {list(world.size_px)}  # of images, unless --size says another")
    if world.scenery is not None:
        lines.append(f"scenery = {_text(world.scenery)}  # what stands still, in the folder objects beside this file")
    if world.origin_m is not None:
        lines.append(f"origin_m = {_numbers(world.origin_m)}  # where this world's origin is in {source}")
    lines += [
        "",
        "# Objects are drawn from these: a name of air3d's (mug), an object's file or folder, or what the folder",
    ]
    lines += ["# objects beside this file has."]
    for entry, count in zip(world.kinds, counts, strict=True):
        said = f"  # {count} in {source}" if count > 1 else ""
        lines += ["[[kinds]]", f"kind = {_text(entry.kind)}{said}", ""]
    lines.append(
        "# They are put here: level surfaces, radius_m for a disc, or sides_m for a rectangle, turned by yaw_deg."
    )
    for support in world.supports:
        size = f"radius_m = {_number(support.radius_m)}" if support.radius_m is not None else ""
        size = size or f"sides_m = {_numbers(support.sides_m or ())}"
        lines += [
            "[[supports]]",
            f"centre_m = {_numbers(support.centre_m)}",
            size,
            f"yaw_deg = {_number(support.yaw_deg)}",
            "",
        ]
    lines += _camera_lines(world)
    lamp = world.light
    lines += [
        "# The direction from the origin towards a distant lamp, its brightness, and that of the even light.",
        "[light]",
        *(f"{name} = {_number(value)}" for name, value in vars(lamp).items() if name != "lamps"),
    ]
    for further in lamp.lamps:
        lines += ["", "[[light.lamps]]", *(f"{name} = {_number(value)}" for name, value in vars(further).items())]
    return "\n".join(lines) + "\n"


def _camera_lines(world: WorldEntry) -> list[str]:
    if not world.cameras:
        lines = ["# Each scene's camera is one of these, drawn uniformly: upright, on a sphere around look_at_m."]
        orbit = world.orbit
        if orbit is not None:
            lines.append("[orbit]")
            lines += [f"{name} = {_numbers(value)}" for name, value in vars(orbit).items()]
        return [*lines, ""]
    lines = [
        "# Each scene's camera is one of these; without any, cameras are drawn from an [orbit] around the surfaces."
    ]
    for camera in world.cameras:
        lines += ["[[cameras]]", *_one_camera(camera), ""]
    return [
        *lines,
        "# How far each may be from its place: the eye along each axis, its aim along each axis, its roll.",
        "[jitter]",
        *(f"{name} = {_number(value)}" for name, value in vars(world.jitter).items()),
        "",
    ]


def _one_camera(camera: CameraEntry) -> list[str]:
    return [
        f"name = {_text(camera.name)}",
        f"position_m = {_numbers(camera.position_m)}",
        f"look_at_m = {_numbers(camera.look_at_m)}",
        f"roll_deg = {_number(camera.roll_deg)}",
        f"fovy_deg = {_number(camera.fovy_deg)}",
        *([f"shift = {_numbers(camera.shift)}"] if any(camera.shift) else []),
        *([f"fx_over_fy = {_number(camera.fx_over_fy)}"] if camera.fx_over_fy != 1.0 else []),
    ]


def _text(value: str) -> str:
    return json.dumps(value)  # TOML's basic strings are JSON's


def _number(value: float | None) -> str:
    return repr(0.0 + float(value or 0.0))


def _numbers(values: Sequence[float]) -> str:
    return f"[{', '.join(_number(value) for value in values)}]"


def plain(text: str) -> str:
    """A name without what would break a line of comment."""
    return "".join(c if c.isprintable() else "?" for c in text)
