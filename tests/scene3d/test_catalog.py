"""The catalog: what each kind declares, and that its meshes are there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import CATALOG, CROCKERY, PRIMITIVES, Circle, Kind, get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.symmetry import Symmetry


def test_names_and_groups() -> None:
    assert set(CROCKERY) | set(PRIMITIVES) == set(CATALOG)
    assert not set(CROCKERY) & set(PRIMITIVES)
    assert all(kind.name == name for name, kind in CATALOG.items())
    assert set(PRIMITIVES) == {"cube", "sphere", "cylinder"}
    assert {"mug", "plate", "bowl", "pan", "teapot", "glass"} == set(CROCKERY)


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("detail", ["inference", "display"])
def test_meshes_stand_on_the_table_inside_height_and_footprint(name: str, detail: str) -> None:
    kind = CATALOG[name]
    mesh = trimesh.load(asset_path("meshes", f"{name}.{detail}.obj"), process=False, force="mesh")
    assert mesh.bounds[0, 2] == pytest.approx(0.0, abs=1e-6)
    assert mesh.bounds[1, 2] == pytest.approx(kind.height_m, abs=1e-3)
    inside = [
        np.hypot(mesh.vertices[:, 0] - c.x_m, mesh.vertices[:, 1] - c.y_m) <= c.radius_m + 1e-6 for c in kind.footprint
    ]
    assert np.any(inside, axis=0).all()


@pytest.mark.parametrize("name", CATALOG)
def test_colours_heights_and_textures(name: str) -> None:
    kind = CATALOG[name]
    assert len(kind.colour) == 3 and all(0.0 <= channel <= 1.0 for channel in kind.colour)
    assert 0.0 < kind.height_m < 0.3
    assert kind.texture is None or asset_path("textures", kind.texture).is_file()


def test_red_blue_and_textured() -> None:
    cube, sphere, cylinder = (CATALOG[name] for name in ("cube", "sphere", "cylinder"))
    assert cube.colour[0] > 2 * max(cube.colour[1:]) and sphere.colour[2] > 2 * max(sphere.colour[:2])
    assert cylinder.texture is not None


def test_symmetries_are_those_of_the_bodies() -> None:
    for name in ("plate", "bowl", "glass", "sphere"):
        assert CATALOG[name].symmetry.continuous_yaw
    for name in ("mug", "pan", "teapot"):
        assert CATALOG[name].symmetry == Symmetry()
    assert len(CATALOG["cube"].symmetry.rotations()) == 24 and CATALOG["cube"].symmetry.yaw_order == 4
    assert CATALOG["sphere"].symmetry.spherical


@pytest.mark.parametrize("name", CATALOG)
def test_yaw_order_is_the_part_of_the_group_about_z(name: str) -> None:
    symmetry = CATALOG[name].symmetry
    about_z = [r for r in symmetry.rotations() if np.allclose(r[2], [0, 0, 1])]
    if not symmetry.continuous_yaw:
        assert len(about_z) == symmetry.yaw_order


def test_radius_is_that_of_the_smallest_disc_about_the_origin() -> None:
    kind = Kind("thing", (0, 0, 0), 0.1, (Circle(0.03, 0.04, 0.01), Circle(0.0, 0.0, 0.02)), Symmetry())
    assert kind.radius_m == pytest.approx(0.06)
    turn = np.linspace(0.0, 2.0 * math.pi, 3600)
    for other in CATALOG.values():
        rims = [np.hypot(c.x_m + c.radius_m * np.cos(turn), c.y_m + c.radius_m * np.sin(turn)) for c in other.footprint]
        assert np.max(rims) == pytest.approx(other.radius_m, abs=1e-6)


def test_unknown_kinds() -> None:
    assert get_kind("mug") is CATALOG["mug"]
    with pytest.raises(InputError, match=r"unknown kind 'teapott': did you mean 'teapot'\? known kinds are"):
        get_kind("teapott")
    with pytest.raises(InputError, match="unknown kind 'xyzzy': known kinds are mug, plate"):
        get_kind("xyzzy")
    with pytest.raises(InputError, match=r"asset 'meshes/dragon.obj' is missing; run"):
        asset_path("meshes", "dragon.obj")
