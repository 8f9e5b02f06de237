"""Applies actions to many scenes at once, and refuses those that cannot be done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.environments.actions import OPERATIONS, Commands
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.poses import on_table, yawed
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.scene import Scene, SceneObject

# Metres that a full "move" moves by: far enough to pass another object, near enough to aim.
REACH_M = 0.1

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_ADD, _MOVE, _TURN, _CHANGE, _REMOVE, _CAMERA, _STOP = range(len(OPERATIONS))


class Edited(NamedTuple):
    """B scenes after an action.

    Attributes:
        scenes: the scenes; where the action was refused, as they were.
        valid: (B,), False where the action was refused.
        stopped: (B,), True where it was "stop".
    """

    scenes: SceneBatch
    valid: Flags
    stopped: Flags


class SceneEditor:
    """Applies actions to scenes that share the settings of one prior."""

    def __init__(self, prior: PriorConfig) -> None:
        self._prior = prior
        self._colours = np.array([get_kind(name).colour for name in prior.kinds])
        self._discs = _discs(prior.kinds)

    def empty(self) -> Scene:
        """The scene that episodes start from: a bare table, the camera in the middle of its ranges."""
        return Scene((), self._prior.camera.middle(), self._prior.table, self._prior.light)

    def pack(self, scenes: Sequence[Scene]) -> SceneBatch:
        """Pack scenes for editing: objects of the catalog's size and colour, camera and places within the ranges.

        Raises:
            InputError: for another table, an unknown kind, or more objects than slots.
        """
        p = self._prior
        base, packed = self.empty(), []
        for scene in scenes:
            eye = self._within(
                np.array([scene.camera.azimuth_rad, scene.camera.elevation_rad, scene.camera.distance_m])
            )
            camera = replace(
                base.camera, azimuth_rad=float(eye[0]), elevation_rad=float(eye[1]), distance_m=float(eye[2])
            )
            objects = []
            for item in scene.objects:
                x, y = self._prior.table.place.clamp(np.array([item.x_m, item.y_m]))
                objects.append(SceneObject.upright(item.kind, float(x), float(y), item.yaw_rad))
            packed.append(Scene(tuple(objects), camera, scene.table, p.light))
        # The bare table among them makes sure of the table, and that there is a scene.
        return SceneBatch.from_scenes([base, *packed], p.kinds, p.max_objects)[1:]

    def apply(self, scenes: SceneBatch, commands: Commands) -> Edited:
        """Do to each of B scenes what its command says, or nothing where that is refused.

        Refused are "add" to a full table, actions on an absent object, and those that would bring footprints nearer
        to each other than the prior's gap. A place beyond the support is pulled back to its rim.
        """
        rows, does, present = np.arange(len(scenes)), commands.operation, scenes.present
        adds, edits = does == _ADD, (does != _CAMERA) & (does != _STOP)
        scored = np.where(present, commands.slot_score, -np.inf).argmax(1)
        slot = np.where(adds, present.argmin(1), scored)
        valid = ~edits | np.where(adds, ~present.all(1), present.any(1))
        edits &= valid

        # What is added starts from the middle of the table; what is moved or turned, from where it is.
        new = adds[:, None]
        place = np.where(new, 0.0, scenes.position_m[rows, slot, :2])
        moves = np.where(new, self._prior.table.place.half_extents_m, REACH_M) * commands.place
        place = np.where((adds | (does == _MOVE))[:, None], self._prior.table.place.clamp(place + moves), place)
        yaw = np.where(adds, 0.0, scenes.yaw_rad[rows, slot])
        yaw = np.where(adds | (does == _TURN), yaw + math.pi * commands.turn, yaw)
        kind = np.where(adds | (does == _CHANGE), commands.kind, scenes.kind[rows, slot])
        stays = does != _REMOVE
        values = {
            "kind": np.where(stays, kind, ABSENT),
            "position_m": on_table(np.where(stays[:, None], place, 0.0)),
            "rotation_wxyz": yawed(np.where(stays, yaw, 0.0)),
            "colour": np.where(stays[:, None], self._colours[kind], 0.0),
        }
        after = _put(scenes, rows[edits], slot[edits], values)
        touching = edits & stays & self._touches(after, slot)
        edits &= ~touching
        after = _put(scenes, rows[edits], slot[edits], values)
        return Edited(self._turn_cameras(after, commands), valid & ~touching, does == _STOP)

    def _turn_cameras(self, scenes: SceneBatch, commands: Commands) -> SceneBatch:
        turns = commands.operation == _CAMERA
        if not turns.any():
            return scenes
        eye = np.stack([scenes.camera_azimuth_rad, scenes.camera_elevation_rad, scenes.camera_distance_m], axis=-1)
        c = self._prior.orbits
        spans = np.array([math.pi, np.ptp(c.elevation_rad), np.ptp(c.distance_m)])
        eye = np.where(turns[:, None], self._within(eye + spans * commands.camera), eye)
        return replace(
            scenes, camera_azimuth_rad=eye[:, 0], camera_elevation_rad=eye[:, 1], camera_distance_m=eye[:, 2]
        )

    def _within(self, eye: Floats) -> Floats:
        """Cut azimuth, elevation, distance (..., 3) to the prior's ranges; the azimuth of a free camera wraps."""
        c = self._prior.orbits
        low, high = np.array([c.azimuth_rad, c.elevation_rad, c.distance_m]).T
        return np.clip(np.concatenate([_wrap(eye[..., :1]), eye[..., 1:]], axis=-1), low, high)

    def _touches(self, scenes: SceneBatch, slot: NDArray[np.int64]) -> Flags:
        """(B,) bool: whether the object in slot (B,) is nearer to another than `air3d.scene3d.placement` allows."""
        rows, centre, radius = np.arange(len(scenes)), *self._discs
        c, s = np.cos(scenes.yaw_rad)[..., None], np.sin(scenes.yaw_rad)[..., None]
        local = centre[scenes.kind]
        turned = np.stack([c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]], axis=-1)
        world = scenes.position_m[:, :, None, :2] + turned
        own = world[rows, slot][:, None, :, None]
        reach = radius[scenes.kind[rows, slot]][:, None, :, None] + radius[scenes.kind][:, :, None] + self._prior.gap_m
        near = ((own - world[:, :, None]) ** 2).sum(-1) < np.maximum(reach, 0.0) ** 2
        others = scenes.present.copy()
        others[rows, slot] = False
        return np.asarray((near.any((2, 3)) & others).any(1))


def _put(scenes: SceneBatch, rows: NDArray[np.int64], slot: NDArray[np.int64], values: dict[str, Any]) -> SceneBatch:
    """Write `values` (B, ...) into one slot of each scene of some rows."""
    changed: dict[str, Any] = {name: getattr(scenes, name).copy() for name in values}
    for name, value in values.items():
        changed[name][rows, slot] = value[rows]
    return replace(scenes, **changed)


def _wrap(angle: Floats) -> Floats:
    """Wrap angles into [-pi, pi]; those that lie there stay exactly as they are."""
    return np.where(np.abs(angle) <= math.pi, angle, np.remainder(angle + math.pi, 2.0 * math.pi) - math.pi)


def _discs(kinds: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Footprints as padded arrays: centres (K, C, 2) and radii (K, C) in metres; padding discs reach nothing."""
    most = max(len(get_kind(name).footprint) for name in kinds)
    centre, radius = np.zeros((len(kinds), most, 2)), np.full((len(kinds), most), -1e3)
    for k, name in enumerate(kinds):
        for i, disc in enumerate(get_kind(name).footprint):
            centre[k, i], radius[k, i] = (disc.x_m, disc.y_m), disc.radius_m
    return centre, radius
