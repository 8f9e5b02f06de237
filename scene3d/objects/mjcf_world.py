"""Reads an MJCF file of a whole world: what stands still in it, the bodies that are free, its lamps and its cameras.

Free is a body with a free joint. All else stands still: what hangs on other joints, as a robot does, stands as the
first keyframe has it, else as the file starts it. Drawn is what MuJoCo's viewer draws, groups 0 to 2, but not what
robosuite has in group 0, for collisions, beside what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.objects.mjcf_file import assets, frame_of, geoms_beneath, parsed, said
from air3d.scene3d.objects.mjcf_geoms import Geoms
from air3d.scene3d.objects.raw_mesh import Polygons, RawMesh, UnreadableError
from air3d.scene3d.poses import about_z, frames_of, yaw_of

ReadMesh = Callable[[Path], RawMesh]
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_ORTHOGRAPHIC = int(mujoco.mjtProjection.mjPROJ_ORTHOGRAPHIC)
_SHOWN_GROUPS = 3


class FileCamera(NamedTuple):
    """A camera: its name, its frame (4, 4) in OpenGL's axes, its images' size or None; see `Orbit` for the rest."""

    name: str
    frame: Floats
    size_px: tuple[int, int] | None
    fovy_rad: float
    shift: tuple[float, float] = (0.0, 0.0)
    fx_over_fy: float = 1.0


class FileLamp(NamedTuple):
    """A lamp: where it is (3,), the way (3,) of its light if it is far away, else None; its brightness, and ambient."""

    position_m: Floats
    direction: Floats | None
    diffuse: float
    ambient: float


class MjcfWorld:
    """An MJCF file of a world, compiled.

    Attributes:
        notes: lines that say what was left out or approximated.

    Raises:
        UnreadableError: if MuJoCo refuses it, or it is no MJCF.
    """

    def __init__(self, data: bytes, path: Path, read_mesh: ReadMesh) -> None:
        self.notes: list[str] = []
        spec, is_robot = parsed(data, path)
        if is_robot:
            raise UnreadableError("is a URDF, of one robot; a world is MJCF (<mujoco>)")
        spec.compiler.fusestatic = spec.compiler.discardvisual = False
        self._model = model = said(spec.compile)
        self._data = mujoco.MjData(model)
        if model.nkey:
            self._data.qpos[:] = model.key_qpos[0]
        mujoco.mj_kinematics(model, self._data)
        mujoco.mj_comPos(model, self._data)
        mujoco.mj_camlight(model, self._data)
        self._assets, self._read_mesh = assets(spec, path), read_mesh
        single = model.body_jntnum == 1
        of_world = model.body_parentid == 0
        first = np.where(single, model.body_jntadr, 0)
        is_free = single & of_world & (model.jnt_type[first] == _FREE if model.njnt else False)
        self.free: list[int] = [body for body in np.flatnonzero(is_free).tolist() if self._drawn(body).any()]
        self._say_what_stands_still()

    def _say_what_stands_still(self) -> None:
        model = self._model
        if joints := int((model.jnt_type != _FREE).sum()):
            where = "the first keyframe" if model.nkey else "the file"
            self.notes.append(f"{joints} joints stand still, as {where} has them")
        for count, what in ((model.nflex, "flexible bodies"), (model.nskin, "skins")):
            if count:
                self.notes.append(f"{count} {what} are left out")

    def name(self, body: int) -> str:
        """The name of a body; empty without one."""
        return mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_BODY, body) or ""

    def middle_m(self, body: int) -> Floats:
        """The middle (3,) of a free body's box."""
        corners = self._geoms(np.eye(4), []).polygons(self._drawn(body), np.zeros(self._model.ngeom, dtype=bool)).points
        return (corners.min(axis=0) + corners.max(axis=0)) / 2.0

    def object(self, body: int) -> Polygons:
        """A free body as it stands in the file, but for its yaw, about its own origin."""
        frame = frame_of(self._data, body)
        rotation = np.asarray(self._data.xquat[body])
        base = frames_of(frame[:3, 3], [1.0, 0.0, 0.0, 0.0])
        base[:3, :3] = about_z(float(yaw_of(rotation)))
        return self._geoms(base, []).polygons(self._drawn(body), geoms_beneath(self._model, body) & self._collides())

    def scenery(self, origin_m: Floats) -> Polygons | None:
        """All that stands still, about a point (3,); None if there is nothing."""
        still = self._still()
        drawn = still & self._shown(self._model.geom_bodyid)
        if not drawn.any():
            return None
        base = np.eye(4)
        base[:3, 3] = origin_m
        solid = still & self._collides()
        hills = solid & (self._model.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD)
        if hills.any():
            self.notes.append(f"{hills.sum()} height fields are drawn, but nothing collides with them")
        return self._geoms(base, []).polygons(drawn, solid & ~hills, hulls=True)

    def look(self, points_m: Floats, down: bool) -> tuple[Floats, Floats]:
        """Look from points (P, 3) down, or up, at what stands still.

        Returns:
            how far it is, (P,), infinite where nothing is; and how far its surface there looks up, (P,) from -1 to 1.
        """
        # Rays ask for groups: those of the free bodies get one by themselves.
        model, groups = self._model, self._model.geom_group.copy()
        model.geom_group[:] = np.where(self._still() & (self._shown(model.geom_bodyid) | self._collides()), 0, 5)
        wanted, way = np.array([1, 0, 0, 0, 0, 0], np.uint8), np.array([0.0, 0.0, -1.0 if down else 1.0])
        hit, found, normal = np.zeros(1, np.int32), np.zeros(len(points_m)), np.zeros((len(points_m), 3))
        for row, point in enumerate(points_m):
            found[row] = mujoco.mj_ray(model, self._data, point, way, wanted, True, -1, hit, normal[row])
        model.geom_group[:] = groups
        return np.where(found < 0.0, np.inf, found), normal[:, 2]

    def cameras(self) -> list[FileCamera]:
        """The cameras that hang on no free body."""
        model, found = self._model, []
        for number in range(model.ncam):
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_CAMERA, number) or f"camera_{number}"
            if model.body_rootid[model.cam_bodyid[number]] in self.free:
                self.notes.append(f"camera '{name}' hangs on a free body and is left out")
                continue
            if int(model.cam_projection[number]) == _ORTHOGRAPHIC:
                self.notes.append(f"camera '{name}' is orthographic and is left out")
                continue
            frame = np.eye(4)
            frame[:3, :3], frame[:3, 3] = self._data.cam_xmat[number].reshape(3, 3), self._data.cam_xpos[number]
            width, height = (int(side) for side in model.cam_resolution[number])
            found.append(FileCamera(name, frame, (width, height) if width > 1 else None, *self._lens(number)))
        return found

    def _lens(self, number: int) -> tuple[float, tuple[float, float], float]:
        """The vertical field of view, the shift of the principal point, and fx over fy, as `Orbit` has them.

        MuJoCo counts the principal point from the middle of the sensor, to the left and up.
        """
        model = self._model
        (wide, tall), (fx, fy, cx, cy) = model.cam_sensorsize[number].tolist(), model.cam_intrinsic[number].tolist()
        if not tall:
            return math.radians(float(model.cam_fovy[number])), (0.0, 0.0), 1.0
        across, down = (int(side) for side in model.cam_resolution[number])
        # How many pixels there are along a length of the sensor, in rows of it.
        pixels = across / wide / (down / tall) if across > 1 else 1.0
        return 2.0 * math.atan(tall / 2.0 / fy), (-cx * pixels / tall, -cy / tall), fx * pixels / fy

    def lamps(self) -> tuple[list[FileLamp], float, float]:
        """The lamps that shine, and the brightness of the light that comes from the eye, and its ambient."""
        model, found = self._model, []
        for number in np.flatnonzero(model.light_active).tolist():
            far = model.light_type[number] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
            direction = self._data.light_xdir[number].copy() if far else None
            levels = (float(model.light_diffuse[number].mean()), float(model.light_ambient[number].mean()))
            found.append(FileLamp(self._data.light_xpos[number].copy(), direction, *levels))
        head = model.vis.headlight
        share = float(bool(head.active))
        return found, share * float(np.mean(head.diffuse)), share * float(np.mean(head.ambient))

    def _still(self) -> Bools:
        """Tell which geoms (G,) hang on no free body."""
        return ~np.isin(self._model.body_rootid[self._model.geom_bodyid], self.free)

    def _collides(self) -> Bools:
        return np.asarray((self._model.geom_contype | self._model.geom_conaffinity) > 0)

    def _drawn(self, body: int) -> Bools:
        """Tell which geoms (G,) of a free body are drawn: of one that the viewer does not show at all, all."""
        mine = geoms_beneath(self._model, body)
        mine &= ~np.isin(self._model.geom_type, (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD))
        shown = mine & self._shown(self._model.body_rootid[self._model.geom_bodyid])
        return shown if shown.any() else mine

    def _shown(self, owner: Any) -> Bools:
        """Tell which geoms (G,) are drawn; each has an owner (G,), whose other geoms may be what is seen of it."""
        model = self._model
        seen = (model.geom_group < _SHOWN_GROUPS) & self._geoms(np.eye(4), []).seen()
        looks = seen & ~self._collides() & (model.geom_group > 0)
        doubled = np.isin(owner, owner[looks]) & self._collides() & (model.geom_group == 0)
        return np.asarray(seen & ~doubled)

    def _geoms(self, base: Floats, notes: list[str]) -> Geoms:
        return Geoms(self._model, self._data, base, *self._assets, self._read_mesh, notes)
