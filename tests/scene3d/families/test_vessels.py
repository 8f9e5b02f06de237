"""Families of crockery: whatever numbers they have within their ranges, meshes are whole and handles hold."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.catalog import CATALOG, CROCKERY
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.families.crockery import FAMILIES
from air3d.scene3d.families.vessel import Vessel
from air3d.scene3d.meshes.surface import DISPLAY, INFERENCE, Mesh, Part, Resolution

THINNEST_M = 0.0015
MOST_TRIANGLES = 400
WITH_HANDLE = ("mug", "pan", "teapot")


def corners(family: str, count: int) -> list[Vessel]:
    """Vessels at corners of the box of ranges: where all numbers are least, where all are largest, and some between."""
    ranges = FAMILIES[family].ranges()
    rng = np.random.default_rng(3)
    ends = [np.zeros(len(ranges), int), np.ones(len(ranges), int), *rng.integers(2, size=(count - 2, len(ranges)))]
    return [FAMILIES[family](**{name: ranges[name][end] for name, end in zip(ranges, at, strict=True)}) for at in ends]


def closed(mesh: Mesh) -> trimesh.Trimesh:
    """Join corners that differ in normal alone."""
    return trimesh.Trimesh(mesh.positions_m.round(7), mesh.faces, process=True)


def pappus_m3(part: Part) -> float:
    """The volume inside a turned profile by the second theorem of Pappus: 2 pi times the area's moment about z."""
    (r0, z0), (r1, z1) = part.profile.points_m[:-1].T, part.profile.points_m[1:].T
    return float(np.pi / 3.0 * ((r0**2 + r0 * r1 + r1**2) * (z1 - z0)).sum())


def distances(points: Floats, line: Floats) -> Floats:
    """The distance of points (P, 2) from a chain of straight pieces (Q, 2)."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = ((points[:, None] - start) * step).sum(axis=2) / ((step**2).sum(axis=1) + 1e-30)
    foot = start + np.clip(along, 0.0, 1.0)[..., None] * step
    return np.asarray(np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1))


def thickness_m(part: Part) -> float:
    """How near the inside of a vessel comes to its outside, but for the rim."""
    line = part.profile.points_m
    top = int(line[:, 1].argmax())
    foot = int(np.flatnonzero(line[: top + 1, 1] <= 1e-9)[-1])
    shares = np.linspace(0.0, 1.0, 20)[:, None]
    outside = np.concatenate(
        [a + (b - a) * shares for a, b in zip(line[foot:top], line[foot + 1 : top + 1], strict=True)]
    )
    outside = outside[np.linalg.norm(outside - line[top], axis=1) > 0.007]
    return float(distances(outside, line[top:]).min())


@pytest.mark.parametrize("family", FAMILIES)
def test_at_its_defaults_a_family_is_the_catalogs_kind(family: str) -> None:
    assert set(FAMILIES) == set(CROCKERY)
    mesh = FAMILIES[family]().mesh(DISPLAY)
    assert mesh.positions_m[:, 2].max() == pytest.approx(CATALOG[family].height_m, abs=1e-9)
    assert FAMILIES[family]().turned == CATALOG[family].symmetry.continuous_yaw


@pytest.mark.parametrize("detail", [INFERENCE, DISPLAY], ids=["inference", "display"])
@pytest.mark.parametrize("family", FAMILIES)
def test_meshes_are_closed_and_as_large_as_their_profiles_say(family: str, detail: Resolution) -> None:
    for vessel in corners(family, 6):
        for part in vessel.parts(detail):
            mesh = closed(part.mesh())
            assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0.0, vessel
            if part.path is None:
                assert mesh.volume == pytest.approx(pappus_m3(part), rel=1e-3)
        whole = vessel.mesh(detail)
        assert whole.positions_m[:, 2].min() == 0.0
        if family != "pan" or vessel == type(vessel)():  # its handle may rise above the rim
            assert whole.positions_m[:, 2].max() == pytest.approx(vessel.height_m, abs=1e-9)  # type: ignore[attr-defined]
        assert detail is DISPLAY or len(whole.faces) <= MOST_TRIANGLES


@pytest.mark.parametrize("detail", [INFERENCE, DISPLAY], ids=["inference", "display"])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "teapot"])
def test_walls_are_nowhere_thin(family: str, detail: Resolution) -> None:
    assert min(thickness_m(vessel.parts(detail)[0]) for vessel in corners(family, 40)) > THINNEST_M


def inside(part: Part, points: Floats) -> Bools:
    """Tell which points (P, 3) are in a turned body, by the parity of crossings in its half plane."""
    line = part.profile.points_m
    (r0, z0), (r1, z1) = line[:-1].T, line[1:].T
    radius, height = np.hypot(points[:, :1], points[:, 1:2]), points[:, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = ((z0 > height) != (z1 > height)) & (radius < r0 + (height - z0) * (r1 - r0) / (z1 - z0))
    return np.asarray(crossed.sum(axis=1) % 2 == 1)


@pytest.mark.parametrize("family", WITH_HANDLE)
def test_handles_end_in_the_body_and_not_in_the_room_inside(family: str) -> None:
    for vessel in corners(family, 24):
        body, *others = vessel.parts(DISPLAY)
        line = body.profile.points_m
        top = line[: line[:, 1].argmax() + 1]
        foot = top[np.flatnonzero(top[:, 1] <= 1e-9)[-1] :]
        for number, part in enumerate(others):
            rings = part.mesh().positions_m.reshape(-1, part.sides + 1, 3)
            buried = inside(body, rings.reshape(-1, 3)).reshape(rings.shape[:2])
            arcs = part.profile.points_m[:, 1]
            # Of the end of the teapot's handle a sliver shows at its shoulder.
            assert buried[arcs == arcs.min()].mean() > (0.8 if family == "teapot" else 0.999), vessel
            both = number == {"mug": 0, "teapot": 1}.get(family)
            assert not both or buried[arcs == arcs.max()].all(), vessel
            assert not buried.all()
            # Within the outline of the body they are in its wall: nothing reaches into the room.
            radius, height = np.hypot(rings[..., 0], rings[..., 1]), rings[..., 2]
            within = (radius < np.interp(height, foot[:, 1], foot[:, 0]) - 1e-4) & (height < line[:, 1].max())
            assert buried[within].all(), vessel


@pytest.mark.parametrize("family", FAMILIES)
def test_drawn_numbers_keep_to_their_strength(family: str) -> None:
    vessel = FAMILIES[family]
    assert vessel.draw(np.random.default_rng(1), strength=0.0) == vessel()
    for strength in (0.3, 1.0):
        drawn = [vessel.draw(np.random.default_rng(seed), strength) for seed in range(200)]
        for name, (low, high) in vessel.ranges().items():
            values = np.array([getattr(one, name) for one in drawn])
            usual, width = getattr(vessel(), name), strength * (high - low)
            assert (values >= usual + strength * (low - usual) - 1e-12).all()
            assert (values <= usual + strength * (high - usual) + 1e-12).all()
            # 200 uniform draws leave more than a tenth of the range empty with probability below 1e-7.
            assert np.ptp(values) > 0.8 * width
    assert vessel.draw(np.random.default_rng(5)) == vessel.draw(np.random.default_rng(5))


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_survive_json_and_are_checked(family: str) -> None:
    vessel = FAMILIES[family].draw(np.random.default_rng(2))
    assert config_from_dict(FAMILIES[family], config_to_dict(vessel), family) == vessel
    name, (low, high) = next(iter(vessel.ranges().items()))
    for value in (low - 1e-3, high + 1e-3, float("nan")):
        with pytest.raises(InputError, match=f"{family}: {name} is .*finite number from"):
            FAMILIES[family](**{name: value})
