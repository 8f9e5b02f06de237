"""Numpy views onto MuJoCo's abstract visualisation structs, so that a whole scene is written with slices.

Setting mjvGeom fields one attribute at a time costs more than drawing them. The layout is taken from
MuJoCo's own introspection tables, and checked against the addresses that the bindings hand out.
"""

from __future__ import annotations

import ctypes
from typing import Any

import mujoco
import numpy as np
from mujoco.introspect import ast_nodes, structs
from numpy.typing import NDArray

_SCALARS: dict[str, str] = {"int": "i4", "float": "f4", "mjtByte": "u1", "char": "i1", "mjtBool": "u1"}


def struct_dtype(name: str) -> np.dtype[Any]:
    """The C layout of a flat MuJoCo struct of numbers, for instance "mjvGeom", as a structured dtype.

    Raises:
        RuntimeError: if the struct holds anything else than numbers.
    """
    names, formats = [], []
    for member in structs.STRUCTS[name].fields:
        kind, shape = member.type, ()
        if isinstance(kind, ast_nodes.ArrayType):
            shape, kind = tuple(kind.extents), kind.inner_type
        if not isinstance(kind, ast_nodes.ValueType):
            raise RuntimeError(f"{name}.{member.name} is no number; this version of MuJoCo is not supported")
        names.append(member.name)
        formats.append((_SCALARS.get(kind.name, "i4"), shape))
    return np.dtype({"names": names, "formats": formats}, align=True)


def geom_records(scene: mujoco.MjvScene) -> NDArray[Any]:
    """View `scene.geoms` as (maxgeom,) records; the view is valid while the scene lives."""
    dtype = struct_dtype("mjvGeom")
    first, second = scene.geoms[0], scene.geoms[1]
    base = _address(first.pos) - _offset(dtype, "pos")
    _require(_address(second.pos) - _address(first.pos) == dtype.itemsize, "mjvGeom")
    _require(_address(first.rgba) - base == _offset(dtype, "rgba"), "mjvGeom")
    _require(_address(first.mat) - base == _offset(dtype, "mat"), "mjvGeom")
    return _view(base, dtype, scene.maxgeom)


def camera_records(scene: mujoco.MjvScene) -> NDArray[Any]:
    """View `scene.camera` as (2,) records."""
    dtype = struct_dtype("mjvGLCamera")
    base = _address(scene.camera[0].pos) - _offset(dtype, "pos")
    _require(_address(scene.camera[1].pos) - _address(scene.camera[0].pos) == dtype.itemsize, "mjvGLCamera")
    return _view(base, dtype, 2)


def light_records(scene: mujoco.MjvScene) -> NDArray[Any]:
    """View `scene.lights` as (nlight,) records."""
    dtype = struct_dtype("mjvLight")
    light = scene.lights[0]
    base = _address(light.pos) - _offset(dtype, "pos")
    _require(_address(light.diffuse) - base == _offset(dtype, "diffuse"), "mjvLight")
    _require(_address(scene.lights[1].pos) - _address(light.pos) == dtype.itemsize, "mjvLight")
    return _view(base, dtype, scene.nlight)


def _offset(dtype: np.dtype[Any], name: str) -> int:
    assert dtype.fields is not None
    return int(dtype.fields[name][1])


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _view(address: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    memory = (ctypes.c_char * (dtype.itemsize * count)).from_address(address)
    return np.frombuffer(memoryview(memory), dtype=dtype, count=count)


def _require(holds: bool, struct: str) -> None:
    if not holds:
        raise RuntimeError(f"the memory layout of {struct} in MuJoCo {mujoco.__version__} is not the documented one")
