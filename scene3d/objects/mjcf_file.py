"""Reads an object from MJCF or URDF by letting MuJoCo compile it: meshes of any format, scales, materials, textures.

The object is one body with all that is fixed to it or hangs on its joints, in that body's frame. Drawn is what does not
collide, as robosuite, LIBERO and MuJoCo's menagerie have it; where all geoms collide, they are drawn themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.errors import shown
from air3d.scene3d.objects.found_file import found_file
from air3d.scene3d.objects.mjcf_geoms import Geoms
from air3d.scene3d.objects.raw_mesh import (
    Polygons,
    RawMesh,
    UnreadableError,
    unmarked,
)

_GEOM = mujoco.mjtGeom
# All that may refer to joints; an object that stands still needs none of it.
_MOVING = ("keys", "sensors", "actuators", "tendons", "equalities", "pairs", "excludes", "skins", "flexes", "tuples")
_URDF_FOLDERS = 5  # the file's own and those above, in which the packages of its meshes are looked for


def read_mujoco(data: bytes, path: Path, read_mesh: Callable[[Path], RawMesh]) -> Polygons:
    """Read the triangles of an MJCF or URDF file's one object, with its materials, in metres.

    Args:
        read_mesh: reads a mesh file with its materials, which MuJoCo drops.

    Raises:
        UnreadableError: if MuJoCo refuses the file, or if it holds several objects, or none.
    """
    notes: list[str] = []
    spec, is_robot = parsed(data, path)
    root = spec.worldbody if is_robot else _root(spec, notes)
    joints = [joint for joint in spec.joints if joint.type != mujoco.mjtJoint.mjJNT_FREE]
    if joints:
        notes.append(f"its {len(joints)} joints stand still, as the file starts them")
    collides = np.array([bool(geom.contype or geom.conaffinity) for geom in spec.geoms], dtype=bool)
    model = _compiled(spec)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    geoms = Geoms(model, data, frame_of(data, root.id), *assets(spec, path), read_mesh, notes)
    mine = geoms_beneath(model, root.id) & (model.geom_type != _GEOM.mjGEOM_PLANE)
    if odd := int((mine & (model.geom_type == _GEOM.mjGEOM_HFIELD)).sum()):
        notes.append(f"{odd} geoms are of a type that is not drawn (height field)")
        mine &= model.geom_type != _GEOM.mjGEOM_HFIELD
    seen = mine & geoms.seen()
    drawn = seen & ~collides
    if not drawn.any():
        drawn = seen if seen.any() else mine
    return geoms.polygons(drawn, mine & collides)


def assets(spec: Any, path: Path) -> tuple[dict[str, Any], list[Path]]:
    """The assets of meshes by name, as the file has them, and the folders in which their files are."""
    files = {mesh.name: mesh for mesh in spec.meshes if mesh.file}
    return files, [Path(spec.modelfiledir or path.parent) / (spec.compiler.meshdir or ""), path.parent]


def frame_of(data: Any, body: int) -> Floats:
    """The frame (4, 4) of a body in the model's world."""
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = data.xmat[body].reshape(3, 3), data.xpos[body]
    return frame


def geoms_beneath(model: Any, body: int) -> Bools:
    """Tell which geoms (G,) are a body's, or those of what hangs on it."""
    inside = np.zeros(model.nbody, dtype=bool)
    for number, parent in enumerate(model.body_parentid.tolist()):
        inside[number] = number == body or (number > 0 and inside[parent])
    return inside[model.geom_bodyid]


def parsed(data: bytes, path: Path) -> tuple[Any, bool]:
    """Parse the file; tell whether it is a URDF, whose root link MuJoCo makes the world."""
    text = unmarked(data)
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UnreadableError(f"is not XML ({error})") from None
    if tree.tag not in ("mujoco", "robot", "mujocoinclude"):
        raise UnreadableError(f"is XML, but neither MJCF (<mujoco>) nor URDF (<robot>): <{tree.tag}>")
    if tree.tag == "mujocoinclude":
        raise UnreadableError("is a part that other MJCF files include; name one of those")
    if path.suffix.lower() == ".urdf" or tree.tag == "robot":
        return said(lambda: mujoco.MjSpec.from_string(_urdf(tree, path))), True
    return said(lambda: mujoco.MjSpec.from_file(str(path))), False


def said(work: Callable[[], Any]) -> Any:
    """Do what MuJoCo may refuse, in one line of its own words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in MJCF
            return work()
    except (ValueError, TypeError, RuntimeError, mujoco.FatalError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ").removeprefix("XML Error: ")
        raise UnreadableError(f"is not accepted by MuJoCo: {reason[:200]}") from None


def _urdf(tree: ElementTree.Element, path: Path) -> str:
    """Write a URDF with the whole paths of its meshes, and with the settings that keep what is to be seen."""
    folders = [path.absolute().parent, *path.absolute().parents][1 : _URDF_FOLDERS + 1]
    for mesh in tree.iter("mesh"):
        name = mesh.get("filename", "")
        plain = name.removeprefix("package://").removeprefix("model://").removeprefix("file://")
        file = found_file(plain, folders) or found_file(plain.partition("/")[2], folders)
        if file is None:
            raise UnreadableError(f"names the mesh {shown(name)}; there is no such file in {folders[0]} or above it")
        if file.suffix.lower() == ".dae":
            raise UnreadableError(f"names {shown(file.name)}, Collada, which is not read; convert it to OBJ")
        mesh.set("filename", str(file))
    for parent in list(tree.iter()):
        for part in [part for part in parent if part.tag in ("inertial", "mujoco")]:
            parent.remove(part)  # masses do not matter, and are often wrong
    keep = {"strippath": "false", "discardvisual": "false", "fusestatic": "false", "balanceinertia": "true"}
    ElementTree.SubElement(ElementTree.SubElement(tree, "mujoco"), "compiler", keep)
    return ElementTree.tostring(tree, encoding="unicode")


def _root(spec: Any, notes: list[str]) -> Any:
    """Find the one body that is the object; without any body it is the world, whose geoms stand by themselves."""

    def solid(body: Any) -> bool:
        return any(geom.type != _GEOM.mjGEOM_PLANE for geom in body.geoms) or any(map(solid, body.bodies))

    bodies = [body for body in spec.worldbody.bodies if solid(body)]
    beside = [geom for geom in spec.worldbody.geoms if geom.type != _GEOM.mjGEOM_PLANE]
    if len(bodies) > 1:
        names = ", ".join(body.name or "(nameless)" for body in bodies[:8])
        more = f" and {len(bodies) - 8} more" if len(bodies) > 8 else ""
        raise UnreadableError(
            f"holds {len(bodies)} bodies ({names}{more}); an object is one: give each its own file, or make a world of "
            "them all: air3d world import"
        )
    if not bodies:
        if not beside:
            raise UnreadableError("holds no body with a geom")
        return spec.worldbody
    if beside:
        notes.append(f"{len(beside)} geoms of the file's world, outside the body, are left out")
    return bodies[0]


def _compiled(spec: Any) -> Any:
    """Compile with everything still: nothing that MuJoCo refuses for the sake of dynamics matters here."""
    for name in _MOVING:
        for element in list(getattr(spec, name)):
            spec.delete(element)
    for joint in list(spec.joints):
        spec.delete(joint)
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0  # no hulls
    for mesh in spec.meshes:
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # thin walls have little volume
    spec.compiler.fusestatic = spec.compiler.discardvisual = False
    return said(spec.compile)
