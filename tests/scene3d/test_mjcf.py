"""Scenes as MJCF, loaded by MuJoCo as anybody would: they look like air3d's, and stand still."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from air3d.renderers.choice import make_renderer
from air3d.renderers.probe import probe_gl
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CROCKERY, PRIMITIVES
from air3d.scene3d.mjcf import scene_mjcf
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene, SceneObject, Table
from air3d.scene3d.solids import solids

OWN = "pyramid@b16745256486"


def load(scene: Scene, folder: Path) -> mujoco.MjModel:
    written = scene_mjcf(scene, "model_assets", (120, 96))
    for name, content in written.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "model.xml").write_text(written.text)
    return mujoco.MjModel.from_xml_path(str(folder / "model.xml"))


def scene(seed: int, kinds: tuple[str, ...], count: int, perturb: Perturbation | None = None) -> Scene:
    config = PriorConfig(kinds=kinds, min_objects=count, max_objects=count, perturb=perturb or Perturbation())
    return ScenePrior(config).sample(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_an_upright_scene_stays_where_it_is(seed: int, tmp_path: Path) -> None:
    """Stepped for two seconds it moves less than 2 mm, and turns less than a degree."""
    model = load(scene(seed, CROCKERY + PRIMITIVES[::2], 3, Perturbation(scale=0.1)), tmp_path)
    data = mujoco.MjData(model)
    poses = data.qpos.reshape(-1, 7)
    before = poses.copy()
    assert len(poses) == 3
    mujoco.mj_step(model, data, round(2.0 / model.opt.timestep))
    assert np.linalg.norm(poses[:, :3] - before[:, :3], axis=1).max() < 0.002
    assert abs((poses[:, 3:] * before[:, 3:]).sum(axis=1)).min() > np.cos(np.radians(0.5))


def test_what_is_pushed_off_the_table_falls(tmp_path: Path) -> None:
    model = load(scene(1, ("mug",), 1), tmp_path)
    data = mujoco.MjData(model)
    data.qpos[:2] = 0.5, 0.0
    mujoco.mj_step(model, data, 500)
    assert data.qpos[2] < -1.0


@pytest.mark.skipif(probe_gl().platform is None, reason="compares with MuJoCo's OpenGL renderer")
@pytest.mark.parametrize(
    "change, worn",
    [({}, 0.0), ({"roll_rad": 0.3, "shift": (0.1, -0.15), "fx_over_fy": 1.25}, 0.0), ({}, 1.0)],
    ids=["plain", "any camera", "textures, a cloth, lamps"],
)
def test_mujoco_draws_what_air3d_draws(
    change: Any, worn: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silhouettes agree by an intersection over union of .97 at least, colours within a few levels."""
    module = importlib.import_module("mujoco.rendering.classic.renderer")
    platform = importlib.import_module(f"mujoco.{probe_gl().platform}")
    for place in (vars(module), vars(module.gl_context)):
        monkeypatch.setitem(place, "GLContext", platform.GLContext)
    drawn = scene(
        3, CROCKERY, 4, Perturbation(scale=0.3, colour=0.2, light_angle_rad=0.3, texture=worn, lamps=0.3 * worn)
    )
    drawn = replace(drawn, camera=replace(drawn.camera, **change))
    batch = SceneBatch.from_scenes([drawn])
    with make_renderer(RenderConfig(batch.kinds, drawn.table, 4, 96, 120, "display", batch.varied), "gl") as renderer:
        numbers, image = renderer.render_segmentation(batch)[0], renderer.render(batch)[0]
    model = load(drawn, tmp_path)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 96, 120) as theirs:
        theirs.update_scene(data, "camera")
        picture = theirs.render().copy()
        theirs.enable_segmentation_rendering()
        theirs.update_scene(data, "camera")
        geoms = theirs.render()[..., 0]
    bodies = np.where(geoms >= 0, model.geom_bodyid[geoms], 0)
    names = [f"{item.kind} {n + 1}" for n, item in enumerate(drawn.objects)]
    seen = 0
    for n, name in enumerate(names):
        mine, other = numbers == n + 1, bodies == model.body(name).id
        if mine.sum() > 30:
            seen += 1
            assert (mine & other).sum() / (mine | other).sum() >= 0.97, name
    assert seen >= 3
    assert abs(picture.astype(float) - image).mean() < 2.0


def test_a_bins_walls_go_along(tmp_path: Path) -> None:
    """A mug that is pushed against a wall stays in the bin."""
    inside = Scene((SceneObject.upright("mug", 0.0, 0.0),), table=Table(0.2, 0.1, "bin"))
    model = load(inside, tmp_path)
    data = mujoco.MjData(model)
    data.qvel[:2] = 1.0, 0.1
    mujoco.mj_step(model, data, 500)
    assert 0.02 < data.qpos[0] < inside.table.top.half_extents_m[0] and data.qpos[2] > -0.01


def test_textures_and_sizes_go_along(tmp_path: Path) -> None:
    model = load(scene(5, ("cylinder",), 2, Perturbation(scale=0.2)), tmp_path)
    assert (tmp_path / "model_assets" / "cylinder.png").is_file() and model.ntex >= 2
    assert {path.name for path in (tmp_path / "model_assets").iterdir()} == {
        "cylinder.png", "cylinder.display.obj", "table.png", "table.display.obj"
    }  # fmt: skip
    heights = [item.scale * 0.06 for item in scene(5, ("cylinder",), 2, Perturbation(scale=0.2)).objects]
    sizes = model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_CYLINDER, 1]
    assert sorted(sizes) == pytest.approx(sorted(heights), rel=1e-5)


def test_own_kinds_go_along_by_their_hull(tmp_path: Path) -> None:
    model = load(scene(2, (OWN, "mug"), 2), tmp_path)
    assert (tmp_path / "model_assets" / f"{OWN}.display.obj").is_file()
    assert solids(OWN).source in ("hull", "coacd") and solids("mug").source == "profile"
    assert model.nbody >= 3 and (model.jnt_type == mujoco.mjtJoint.mjJNT_FREE).sum() == 2
