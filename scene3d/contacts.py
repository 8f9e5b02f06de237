"""Contacts: all that MuJoCo needs to collide objects and grounds, and how stiff and rough it takes them for."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import mujoco
import numpy as np

from air3d.scene3d.ground import Ground
from air3d.scene3d.objects.raw_mesh import Solid
from air3d.scene3d.solids import solids

DENSITY = 1500.0
# Stiff, so that what lies still is sunk in by some hundredths of a millimetre; twice the step is MuJoCo's limit.
_SOLREF, _SOLIMP = (0.012, 1.0), (0.95, 0.99, 0.001, 0.5, 2.0)
_MEMORY_BYTES = 256 << 20
_FRICTION = (0.8, 0.01, 0.008)
# Round bodies also resist rolling, flat ones need not.
_ROUND = ("sphere", "ellipsoid", "capsule", "cylinder")
_GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "hull": mujoco.mjtGeom.mjGEOM_MESH,
}
# How thick the slabs are that stand for tops where there are several.
SLAB_M = 0.02


def add_bodies(spec: mujoco.MjSpec, body: mujoco.MjsBody, kind: str, scale: float, owner: str | None = None) -> None:
    """Give a body the collision geoms of a kind, in group 3 and without a look.

    Args:
        owner: the name that its meshes begin with; bodies of one owner share them. Default: kind and scale.
    """
    owner = f"{kind}/{scale!r}" if owner is None else owner
    known = {mesh.name for mesh in spec.meshes}
    numbers: dict[int, int] = {}
    for number, solid in enumerate(solids(kind).bodies):
        geom = body.add_geom(type=_GEOMS[solid.kind], group=3, density=DENSITY, rgba=[0.5, 0.5, 0.5, 0.0])
        _place(geom, solid, scale)
        if solid.kind != "hull":
            geom.size = [scale * value for value in (*solid.size, 0.0, 0.0)[:3]]
            geom.condim = 6 if solid.kind in _ROUND else 4
            continue
        geom.condim = 6
        geom.meshname = name = f"{owner}/{numbers.setdefault(id(solid.points), number)}"
        if name not in known:
            known.add(name)
            spec.add_mesh(
                name=name,
                uservert=(scale * solid.points).ravel().tolist(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
            )


def set_contacts(geom: mujoco.MjsGeom) -> None:
    """Give a geom the friction and stiffness that scenes are settled with."""
    geom.friction, geom.solref = list(_FRICTION), list(_SOLREF)
    geom.solimp = list(_SOLIMP)


def _place(geom: mujoco.MjsGeom, solid: Solid, scale: float) -> None:
    set_contacts(geom)
    geom.pos = scale * solid.frame[:3, 3]
    mujoco.mju_mat2Quat(geom.quat, solid.frame[:3, :3].ravel())


def add_ground(spec: mujoco.MjSpec, ground: Ground) -> None:
    """Give a model what objects fall onto: the tops first, one as an endless plane, several as slabs; then the rest."""
    for top in ground.tops:
        geom = spec.worldbody.add_geom(condim=3, pos=top.position_m)
        if ground.level_m is not None:
            geom.type, geom.size = mujoco.mjtGeom.mjGEOM_PLANE, [1.0, 1.0, 1.0]
        else:
            half = SLAB_M / 2.0
            disc = len(top.size_m) == 1
            geom.type = mujoco.mjtGeom.mjGEOM_CYLINDER if disc else mujoco.mjtGeom.mjGEOM_BOX
            geom.size = [*top.size_m, half, 0.0][:3]
            geom.pos = np.subtract(top.position_m, (0.0, 0.0, half))
            geom.quat = [math.cos(top.yaw_rad / 2.0), 0.0, 0.0, math.sin(top.yaw_rad / 2.0)]
        set_contacts(geom)
    add_walls(spec, ground)
    if ground.scenery is not None:
        add_bodies(spec, spec.worldbody, ground.scenery, 1.0)


def add_walls(spec: mujoco.MjSpec, ground: Ground) -> None:
    """Give a model the walls of a ground, not drawn."""
    for wall in ground.walls:
        geom = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=wall.half_m, pos=wall.position_m, group=3)
        geom.rgba = [0.5, 0.5, 0.5, 0.0]
        set_contacts(geom)


def set_options(spec: mujoco.MjSpec, timestep_s: float) -> None:
    """Give a model the step and the solver that scenes are settled with."""
    spec.option.timestep = timestep_s
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.impratio = 10.0
    # MuJoCo's friction alone lets what leans creep by up to a millimetre a second.
    spec.option.noslip_iterations = 2
    # That takes the square of the contacts' numbers: of six bowls in each other more than MuJoCo allots by itself.
    spec.memory = _MEMORY_BYTES
    spec.option.ccd_tolerance = 1e-5


def sized(model: mujoco.MjModel, scales: Sequence[float]) -> mujoco.MjModel:
    """Copy a model whose bodies share no mesh, and make each as large as told; that is faster than to compile anew.

    Args:
        scales: the factors on bodies 1, 2, ...
    """
    model = copy.copy(model)
    factor = np.array([1.0, *scales])
    of_geom = factor[model.geom_bodyid]
    of_mesh = np.ones(model.nmesh)
    meshes = model.geom_type == mujoco.mjtGeom.mjGEOM_MESH
    of_mesh[model.geom_dataid[meshes]] = of_geom[meshes]
    for array in (model.geom_size, model.geom_pos, model.geom_aabb):
        array *= of_geom.reshape(-1, *[1] * (array.ndim - 1))
    model.geom_rbound *= of_geom
    model.mesh_vert *= np.repeat(of_mesh, model.mesh_vertnum)[:, None]
    model.mesh_pos *= of_mesh[:, None]
    for first, count, by in (
        (model.body_bvhadr, model.body_bvhnum, factor),
        (model.mesh_bvhadr, model.mesh_bvhnum, of_mesh),
    ):
        for start, number, scale in zip(first.tolist(), count.tolist(), by.tolist(), strict=True):
            model.bvh_aabb[start : start + number] *= scale
    model.body_ipos *= factor[:, None]
    model.body_mass *= factor**3
    model.body_inertia *= (factor**5)[:, None]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.stat.meaninertia = model.dof_M0.mean()
    return model
