"""Variants: the same name is the same thing everywhere, and what is declared of it is true of its meshes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.stats import chisquare

from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG, CROCKERY, full_name, get_kind, kind_shares
from air3d.scene3d.compiler import compile_model
from air3d.scene3d.config_json import config_from_dict
from air3d.scene3d.contacts import add_bodies, set_contacts, set_options
from air3d.scene3d.errors import InputError
from air3d.scene3d.families.crockery import FAMILIES, vessel_of
from air3d.scene3d.families.glaze import Glaze, draw_glaze
from air3d.scene3d.families.patterns import painted
from air3d.scene3d.families.unwrapped import canvas, unwrapped
from air3d.scene3d.families.variants import draw_variant, make_variant, variants, with_variants
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.meshes.surface import DISPLAY
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.own_kinds import adopt, cache_folder, carry, family_of, install
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table
from air3d.scene3d.scene_json import scene_from_dict, scene_to_dict
from air3d.scene3d.solids import solids

Fits = Callable[[float, str], None]
SOME = [f"{family}~{number}" for family in FAMILIES for number in (1, 2, 3)]


def test_a_name_is_one_variant_in_every_process(tmp_path: Path) -> None:
    program = "from air3d.scene3d.catalog import get_kind; print(*(get_kind(n).name for n in ('mug~7', 'pan~3~40')))"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "AIR3D_OBJECTS": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert other.stdout.split() == [make_variant("mug~7"), full_name("pan~3~40")]
    assert get_kind("mug~7") == get_kind(full_name("mug~7"))
    assert full_name("mug~7") != full_name("mug~8") and family_of(full_name("mug~7")) == "mug"


def test_all_that_takes_kinds_takes_them_and_keeps_full_names() -> None:
    full = full_name("bowl~2")
    item = SceneObject("bowl~2", (0.0, 0.0, 0.0))
    assert item.kind == full and SceneObject(full, (0.0, 0.0, 0.0)) == item
    assert PriorConfig(kinds=("bowl~2", "mug")).kinds == (full, "mug")
    assert RenderConfig(kinds=("bowl~2",)).kinds == (full,)
    assert resolve_kinds(("bowl~2", "mug")) == (full, "mug")
    scene = Scene((item,))
    assert SceneBatch.from_scenes([scene], ("mug", "bowl~2")).kinds == ("mug", full)
    assert scene_from_dict(scene_to_dict(scene)) == scene


@pytest.mark.parametrize(
    "name, message",
    [("cup~1", "families are mug"), ("mug~1~200", "use 0 to 100"), ("mug~", "unknown kind"), ("mug~x", "unknown kind")],
)
def test_what_is_no_variant_is_said_in_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        get_kind(name)
    assert "\n" not in str(error.value)


def test_one_that_is_gone_is_made_again_and_another_makers_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = full_name("glass~4")
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "empty"))
    assert get_kind(full).name == full
    stranger = "glass~4@0123456789ab"
    with pytest.raises(InputError, match="is not on this machine"):
        get_kind(stranger)


def test_datasets_carry_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kind = get_kind("teapot~2")
    carry((kind.name, "mug"), tmp_path / "data")
    monkeypatch.setenv("AIR3D_OBJECTS", str(tmp_path / "empty"))
    assert adopt(tmp_path / "data") == (kind.name,)
    described = json.loads((tmp_path / "data" / "objects" / "kinds" / f"{kind.name}.json").read_text())
    assert described["drawn"] == kind.drawn
    folder = cache_folder()
    assert folder is not None and sorted(folder.rglob("*.obj"))


@pytest.mark.parametrize("name", SOME)
def test_height_footprint_and_meshes_are_true(name: str) -> None:
    kind = get_kind(name)
    heights = []
    for detail in ("inference", "display"):
        mesh = trimesh.load(asset_path("meshes", f"{kind.name}.{detail}.obj"), process=False, force="mesh")
        closed = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
        closed.merge_vertices(merge_tex=True, merge_norm=True)
        assert closed.is_watertight and closed.volume > 0.0
        assert mesh.bounds[0, 2] == pytest.approx(0.0, abs=1e-6)
        heights.append(mesh.bounds[1, 2])
        weights = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
        inner = [np.einsum("k,fkj->fj", weight, mesh.triangles) for weight in weights]
        flat = np.concatenate([mesh.vertices, *inner])[:, :2]
        over = [np.hypot(*(flat - (c.x_m, c.y_m)).T) - c.radius_m for c in kind.footprint]
        assert np.min(over, axis=0).max() < 2e-6
        reach = max(abs(mesh.bounds[:, 0]))
        assert max(abs(c.x_m) + c.radius_m for c in kind.footprint) < reach + 0.012, "a footprint that is tight"
    assert max(heights) == pytest.approx(kind.height_m, abs=1e-6)
    assert len(load_mesh(kind.name, "inference").faces) <= 400


@pytest.mark.parametrize("name", SOME)
def test_numbers_of_shape_and_glaze_are_kept(name: str) -> None:
    kind = get_kind(name)
    assert kind.drawn is not None
    family, vessel, glaze = draw_variant(name)
    assert kind.family == family and vessel_of(kind) == vessel
    assert config_from_dict(Glaze, kind.drawn["glaze"], name) == glaze
    assert kind.symmetry.continuous_yaw == (vessel.turned and glaze.yaw_order() == 0)
    assert kind.gloss == glaze.gloss
    found = solids(kind.name)
    assert found.source == "profile"
    points = found.points_m()
    assert points[:, 2].max() == pytest.approx(kind.height_m, abs=0.003)


@pytest.mark.parametrize("family", CROCKERY)
def test_strength_zero_is_the_catalogs_kind(family: str) -> None:
    kind, usual = get_kind(f"{family}~5~0"), CATALOG[family]
    assert (kind.colour, kind.gloss, kind.texture) == (usual.colour, usual.gloss, None)
    assert kind.symmetry == usual.symmetry and kind.height_m == pytest.approx(usual.height_m, abs=1e-6)
    here, there = load_mesh(kind.name, "inference"), load_mesh(family, "inference")
    np.testing.assert_array_equal(here.positions_m[here.faces], there.positions_m[there.faces])


def test_half_strength_is_half_way() -> None:
    full, half, usual = (draw_variant(name)[1] for name in ("mug~9", "mug~9~50", "mug~9~0"))
    for name in type(full).ranges():
        middle = (getattr(full, name) + getattr(usual, name)) / 2.0
        assert getattr(half, name) == pytest.approx(middle)


def falls_into(kind: str, radius_m: float) -> float:
    """Drop a ball over the middle of a kind that is fixed to the ground; return where its lowest point ends."""
    spec = mujoco.MjSpec()
    set_options(spec, 0.002)
    set_contacts(spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1.0, 1.0, 1.0]))
    add_bodies(spec, spec.worldbody.add_body(), kind, 1.0)
    ball = spec.worldbody.add_body(pos=[0.004, 0.002, get_kind(kind).height_m + 2.0 * radius_m])
    ball.add_freejoint()
    set_contacts(ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius_m, 0.0, 0.0]))
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1500)
    assert np.hypot(*data.qpos[:2]) < get_kind(kind).radius_m
    return float(data.qpos[2]) - radius_m


@pytest.mark.parametrize(
    "name", ["bowl~1", "bowl~2", "bowl~5", "bowl~10", "mug~1", "mug~3", "glass~2", "pan~1", "pan~2"]
)
def test_a_ball_falls_into_vessels(name: str) -> None:
    kind = get_kind(name)
    vessel = vessel_of(kind)
    floor_m = vessel.foot_height_m + 0.006 if kind.family == "bowl" else vessel.floor_m  # type: ignore[union-attr]
    assert falls_into(kind.name, 0.012) == pytest.approx(floor_m, abs=0.002)


def test_they_stand_where_they_are_put() -> None:
    names = [full_name(f"{family}~{number}") for family in FAMILIES for number in (2, 3, 5, 7)]
    spec = mujoco.MjSpec()
    set_options(spec, 0.002)
    set_contacts(spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[9.0, 9.0, 1.0]))
    for number, name in enumerate(names):
        body = spec.worldbody.add_body(pos=[0.5 * number, 0.0, 0.0])
        body.add_freejoint()
        add_bodies(spec, body, name, 1.0)
    model = spec.compile()
    data = mujoco.MjData(model)
    start = data.qpos.reshape(-1, 7).copy()
    mujoco.mj_step(model, data, 1000)
    moved = data.qpos.reshape(-1, 7) - start
    worst = int(abs(moved[:, :3]).max(axis=1).argmax())
    assert abs(moved[:, :3]).max() < 0.0005, names[worst]
    assert abs(moved[:, 3:]).max() < 0.002


@pytest.mark.parametrize("name", ["mug~2", "plate~2", "bowl~2", "bowl~7", "glass~3"])
def test_collision_bodies_weigh_where_the_mesh_does(name: str) -> None:
    body = vessel_of(get_kind(name)).parts(DISPLAY)[0].mesh()  # type: ignore[union-attr]
    closed = trimesh.Trimesh(body.positions_m.round(7), body.faces, process=True)
    # The mug's handle weighs a little, half way up.
    assert solids(get_kind(name).name).centre_of_mass_m()[2] == pytest.approx(closed.center_mass[2], abs=0.003)


@pytest.mark.parametrize("pattern", ["plain", "rim", "bands", "dipped", "stripes", "dots", "waves"])
@pytest.mark.parametrize("family", ["plate", "bowl", "glass"])
def test_patterns_have_the_symmetry_that_is_declared(
    family: str, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vessel = FAMILIES[family]()
    glaze = Glaze((0.9, 0.9, 0.9), (0.1, 0.2, 0.5), (0.8, 0.8, 0.8), (0.9, 0.9, 0.9), pattern, count=2)  # type: ignore[arg-type]

    def turned(by: float) -> np.ndarray:
        def moved(vessel, side):  # type: ignore[no-untyped-def]
            surface = canvas(vessel, side)
            return surface._replace(turn=(surface.turn + by) % 1.0)

        monkeypatch.setattr("air3d.scene3d.families.patterns.canvas", moved)
        return painted(vessel, glaze)[0].astype(int)

    order = glaze.yaw_order()
    still = turned(0.0)
    assert abs(turned(0.2345 if order == 0 else 1.0 / order) - still).max() <= 1
    if order:
        assert abs(turned(0.5 / order) - still).max() > 50
    assert pattern == "plain" or np.ptp(still.reshape(-1, 3), axis=0).max() > 50


def test_a_texture_shows_its_glaze() -> None:
    rng = np.random.default_rng(4)
    for family, usual in ((name, CATALOG[name].colour) for name in CROCKERY):
        glaze = draw_glaze(rng, family, usual)
        fine, coarse = painted(FAMILIES[family].draw(rng), glaze)
        assert fine.shape == (256, 256, 3) and coarse.shape == (128, 128, 3)
        colours = {name: np.rint(255.0 * np.array(getattr(glaze, name))) for name in ("colour", "fittings")}
        for name, wanted in colours.items():
            assert (abs(fine.reshape(-1, 3) - wanted).max(axis=1) <= 1).any(), name
        np.testing.assert_allclose(coarse.mean(axis=(0, 1)), fine.mean(axis=(0, 1)), atol=0.6)


def test_a_bank_has_one_texture_for_each_that_needs_one() -> None:
    names = variants("mug", 4)
    assert len(set(names)) == 4
    for name in names:
        kind = get_kind(name)
        _, _, glaze = draw_variant(name.partition("@")[0])
        assert (kind.texture is None) == glaze.one_colour
        if kind.texture is not None and kind.inference_texture is not None:
            with Image.open(io.BytesIO(asset_path("textures", kind.inference_texture).read_bytes())) as image:
                assert image.size == (128, 128)
    with pytest.raises(InputError, match="use 1 to"):
        variants("mug", 0)


def test_families_are_drawn_alike_however_many_variants_they_have(fits: Fits) -> None:
    kinds = with_variants(("mug", "cube"), 3)
    assert kinds == (*variants("mug", 3), "cube")
    shares = kind_shares(kinds)
    assert shares == pytest.approx((1 / 6, 1 / 6, 1 / 6, 1 / 2))
    assert kind_shares(with_variants(("mug", "plate"), 2)) is None and kind_shares(("mug", "cube")) is None
    config = PriorConfig(kinds=kinds, min_objects=1, max_objects=1)
    batch = ScenePrior(config).sample_batch(np.random.default_rng(6), 600)
    counts = np.bincount(batch.kind[:, 0], minlength=4)
    fits(float(chisquare(counts, 600.0 * np.array(shares)).pvalue), "kinds")
    # The log-density differs from that of a uniform choice by the shares alone.
    log_prob = ScenePrior(config).log_prob(batch)
    uniform = ScenePrior(config)
    uniform._log_kinds = lambda batch, n: -n * np.log(4.0)  # type: ignore[method-assign]
    np.testing.assert_allclose(log_prob - uniform.log_prob(batch), np.log(4.0 * np.array(shares)[batch.kind[:, 0]]))
    with pytest.raises(InputError, match="without repetition, every family"):
        PriorConfig(kinds=kinds, repeat=False)
    with pytest.raises(InputError, match="none of cube is a family"):
        with_variants(("cube",), 3)


def test_handles_have_the_fittings_colour_and_spouts_the_bodys() -> None:
    vessel = FAMILIES["teapot"]()
    glaze = Glaze((0.9, 0.1, 0.1), (0.1, 0.1, 0.9), (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), "dipped")
    fine, _ = painted(vessel, glaze)
    mesh = unwrapped(vessel, DISPLAY)
    assert mesh.uvs is not None and mesh.uvs.min() >= 0.0 and mesh.uvs.max() <= 1.0
    sizes = np.cumsum([0, *(len(part.mesh().positions_m) for part in vessel.parts(DISPLAY))])
    for number, wanted in ((1, glaze.fittings), (2, glaze.fittings), (3, glaze.colour)):
        u, v = mesh.uvs[sizes[number] : sizes[number + 1]].T
        seen = fine[((1.0 - v) * 256).astype(int), (u * 256).astype(int)]
        np.testing.assert_allclose(seen / 255.0, np.broadcast_to(wanted, seen.shape), atol=0.005)
    # The body is dipped: below the accent's colour, its own above.
    body, v = mesh.positions_m[: sizes[1]], mesh.uvs[: sizes[1], 1]
    seen = fine[np.minimum((1.0 - v) * 256, 255).astype(int), 100] / 255.0
    np.testing.assert_allclose(seen[body[:, 2] < 0.02].mean(axis=0), glaze.accent, atol=0.01)
    np.testing.assert_allclose(seen[body[:, 2] > 0.11].mean(axis=0), glaze.colour, atol=0.01)


def test_gloss_is_seen_in_display_detail_alone() -> None:
    names = variants("bowl", 3)
    for detail, wanted in (("display", [get_kind(name).gloss for name in names]), ("inference", [0.0] * 3)):
        model = compile_model(names, 1, Table(), detail).model  # type: ignore[arg-type]
        found = [model.mat_specular[model.mat(f"{name}.material").id] for name in names]
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_what_another_wrote_of_a_variant_is_checked() -> None:
    usual = CATALOG["mug"]
    obj = b"v 0.0 0.0 0.0\nv 0.1 0.0 0.0\nv 0.0 0.1 0.1\nvn 0.0 0.0 1.0\nf 1//1 2//1 3//1\n"
    parts = {"inference.obj": obj, "display.obj": obj}
    strange = install(replace(usual, name="mug~3", drawn=["mug"]), parts)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="drawn is"):
        get_kind(strange)
    unknown = install(replace(usual, name="mug~3", drawn={"shape": {"height_m": 9.0}}), parts)
    assert get_kind(unknown).family == "mug"
    with pytest.raises(InputError, match=f"kind '{unknown}': field 'radius_m' is missing"):
        solids(unknown)
