"""Cameras and lamps of an MJCF file, as `world.toml` says them."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.camera import Camera
from air3d.scene3d.camera_prior import CameraBox
from air3d.scene3d.objects.mjcf_world import FileCamera, FileLamp, MjcfWorld
from air3d.scene3d.scene import MAX_LAMPS
from air3d.scene3d.world_file import CameraEntry, LampEntry, LightEntry
from air3d.scene3d.world_text import plain

_NEAR_M, _FAR_M, _AHEAD_M = 0.1, 5.0, 1.0
_MOST_LIGHT = 2.0


def cameras_of(
    world: MjcfWorld, origin: Floats, notes: list[str]
) -> tuple[tuple[CameraEntry, ...], tuple[int, int] | None]:
    """The cameras that have the origin in view, and the size of their images if one says it."""
    found, sizes = [], []
    for camera in world.cameras():
        frame = camera.frame.copy()
        frame[:3, 3] -= origin
        view = Camera.pinhole(frame, 0.5 / math.tan(camera.fovy_rad / 2.0), 1, 1)
        (pixel,), (depth,) = view.project([[0.0, 0.0, 0.0]])
        if depth <= _NEAR_M or np.abs(pixel).max() > 0.5:
            notes.append(f"camera '{camera.name}' does not see the surface and is left out")
            continue
        found.append(_camera(camera, frame))
        sizes.append(camera.size_px)
    known = [size for size in sizes if size is not None]
    return tuple(found), known[0] if known else None


def _camera(camera: FileCamera, frame: Floats) -> CameraEntry:
    """Write a camera down: it looks at where its axis meets the surface's plane, if that is ahead."""
    eye, ahead = frame[:3, 3].round(4), -frame[:3, 2]
    far = -eye[2] / ahead[2] if abs(ahead[2]) > 1e-6 else math.inf
    target = (eye + ahead * (far if _NEAR_M <= far <= _FAR_M else _AHEAD_M)).round(4)
    position, look_at = (tuple(point.tolist()) for point in (eye + 0.0, target + 0.0))
    fovy = min(max(math.degrees(camera.fovy_rad), 1.0), 150.0)
    # Its roll is how far its right is from that of an upright one, also where that looks straight down.
    right, up = (CameraBox(position, look_at_m=look_at).middle().sized(1, 1).frame[:3, k] for k in (0, 1))
    roll = math.degrees(math.atan2(frame[:3, 0] @ up, frame[:3, 0] @ right))
    right_by, down_by = (round(part, 5) + 0.0 for part in camera.shift)
    ratio = round(camera.fx_over_fy, 5)
    return CameraEntry(
        position, look_at, plain(camera.name), round(roll, 3) + 0.0, round(fovy, 3), (right_by, down_by), ratio
    )


def light_of(world: MjcfWorld, origin: Floats, notes: list[str]) -> LightEntry:
    """Take the four brightest lamps as distant ones; all else shines evenly, at half of its brightness.

    All are dimmed together if a level surface were brighter than white: pictures end there, and shading would be lost.
    """
    lamps, head, ambient = world.lamps()
    ambient += sum(lamp.ambient for lamp in lamps)
    lamps = sorted((lamp for lamp in lamps if lamp.diffuse > 0.0), key=lambda lamp: -lamp.diffuse)
    if not lamps:
        notes.append("no lamp shines: the light is air3d's own")
        return LightEntry()
    main, *others = lamps[: 1 + MAX_LAMPS]
    even = head + sum(lamp.diffuse for lamp in lamps[1 + MAX_LAMPS :])
    said = ["the light from the eye"] if head else []
    said += [f"lamps beyond the {1 + MAX_LAMPS} brightest"] if len(lamps) > 1 + MAX_LAMPS else []
    if said:
        notes.append(f"taken for even light of half the brightness: {' and '.join(said)}")
    if any(lamp.direction is None for lamp in lamps):
        notes.append("lamps that are near are taken for distant ones, and spots shine to all sides")
    ambient += 0.5 * even
    full = ambient + sum(lamp.diffuse * max(_towards(lamp, origin)[2], 0.0) for lamp in (main, *others))
    if full > 1.0:
        notes.append(f"the light makes level surfaces {full:.1f} times as bright as white; all of it is dimmed to that")
    dimmed = max(full, 1.0)
    azimuth, elevation, diffuse = _numbers(main, origin, dimmed)
    further = tuple(LampEntry(*_numbers(lamp, origin, dimmed)) for lamp in others)
    return LightEntry(azimuth, elevation, diffuse, round(min(ambient / dimmed, _MOST_LIGHT), 3), further)


def _numbers(lamp: FileLamp, origin: Floats, dimmed: float) -> tuple[float, float, float]:
    """Azimuth and elevation of the direction towards a lamp, degrees, and its brightness."""
    x, y, z = _towards(lamp, origin)
    elevation = max(math.degrees(math.asin(min(max(z, -1.0), 1.0))), 0.0)
    brightness = max(round(min(lamp.diffuse / dimmed, _MOST_LIGHT), 4), 1e-4)
    return round(math.degrees(math.atan2(y, x)), 2) + 0.0, round(elevation, 2), brightness


def _towards(lamp: FileLamp, origin: Floats) -> Floats:
    """The unit vector (3,) from the origin towards a lamp."""
    way = lamp.position_m - origin if lamp.direction is None else -lamp.direction
    return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9))
