"""The bank of textures, box coordinates, and the prior of what is worn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.compiler import compile_model
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.obj import parse_obj, unwrapped
from air3d.scene3d.own_kinds import is_own
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Cloth, Light, Scene, SceneObject, Table
from air3d.scene3d.scene_json import scene_from_json, scene_to_dict, scene_to_json
from air3d.scene3d.textures import PLAIN, SIDE_PX, TEXTURES, TILE_M, box_coordinates, picture_texture, texture_pixels

WORN = PriorConfig(kinds=("mug",), min_objects=1, max_objects=1, perturb=Perturbation(texture=0.3))


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_are_square_and_contrasting(name):
    pixels = texture_pixels(name)
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3) and pixels.dtype == np.uint8
    assert SIDE_PX & (SIDE_PX - 1) == 0, "raster wants a power of two"
    assert (pixels == 255).all() == (name == PLAIN)
    assert name == PLAIN or np.ptp(pixels, axis=(0, 1)).max() > 100


def test_box_coordinates_are_lengths_across_the_side_that_is_faced():
    """On a face along an axis, distances between texture coordinates are distances in space over the tile's side."""
    corners = np.array([[(0.0, 0.0, 0.3), (0.2, 0.0, 0.3), (0.0, 0.1, 0.3)]])
    for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turned = corners[..., axes]
        uv = box_coordinates(turned)[0]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert math.dist(uv[a], uv[b]) == pytest.approx(math.dist(turned[0, a], turned[0, b]) / TILE_M)


@pytest.mark.parametrize("kind", ["mug", "cylinder"])
def test_unwrapping_keeps_the_mesh(kind):
    text = asset_path("meshes", f"{kind}.inference.obj").read_text()
    before, after = parse_obj(text, kind), parse_obj(unwrapped(text), kind)
    assert np.array_equal(before.positions_m[before.faces], after.positions_m[after.faces])
    assert np.array_equal(before.normals[before.faces], after.normals[after.faces])
    assert after.uvs is not None
    if before.uvs is not None:
        assert unwrapped(text) == text
        after = parse_obj(unwrapped(text, anew=True), kind)
    corners = after.positions_m[after.faces]
    assert np.allclose(after.uvs[after.faces], box_coordinates(corners), atol=1e-5)


def test_what_is_no_mesh_is_refused():
    with pytest.raises(InputError, match="triangles"):
        unwrapped("v 0 0 0\nf 1 2 3\n")


def test_a_varied_model_has_the_same_geometry():
    """Texture coordinates move nothing: so scenes look the same in it, unless something is worn."""
    plain, varied = (compile_model(tuple(CATALOG), 1, Table(), "inference", flag) for flag in (False, True))
    for name in ("mesh_vert", "mesh_face", "mesh_normal", "geom_pos", "geom_quat", "geom_rgba"):
        assert np.array_equal(getattr(plain.model, name), getattr(varied.model, name)), name
    assert (varied.model.mesh_texcoordadr >= 0).all()
    assert len(varied.texture_materials) == len(TEXTURES) and not len(plain.texture_materials)


def test_files_keep_them_and_are_as_before_without():
    item = SceneObject.upright("mug", 0.1, 0.0)
    scene = Scene((replace(item, texture="dots-2"),), cloth=Cloth((0.1, 0.2, 0.3), "noise-1"))
    assert scene_from_json(scene_to_json(scene)) == scene
    bare = scene_to_dict(Scene((item,)))
    assert "cloth" not in bare and "texture" not in bare["objects"][0]
    assert "texture" not in config_to_dict(PriorConfig())["perturb"]


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="texture is 'tartan'; use one of plain, checker-2"):
        Cloth((0.1, 0.2, 0.3), "tartan")
    with pytest.raises(InputError, match="object 'mug': texture"):
        replace(SceneObject.upright("mug", 0.0, 0.0), texture="tartan")
    with pytest.raises(InputError, match="cloth"):
        Scene(cloth="green")  # type: ignore[arg-type]
    batch = SceneBatch.from_scenes([Scene()])
    with pytest.raises(InputError, match="texture must be"):
        replace(batch, texture=np.full((1, 1), len(TEXTURES)))


def test_nothing_else_shifts():
    for seed in range(5):
        plain = ScenePrior(replace(WORN, perturb=Perturbation())).sample(np.random.default_rng(seed))
        worn = ScenePrior(replace(WORN, perturb=Perturbation(texture=1.0))).sample(np.random.default_rng(seed))
        assert worn.cloth is not None and worn.objects[0].texture not in (None, PLAIN)
        assert replace(worn, cloth=None, objects=tuple(replace(o, texture=None) for o in worn.objects)) == plain


def test_they_follow_the_prior(fits):
    batch = ScenePrior(WORN).sample_batch(np.random.default_rng(5), 4000)
    counts = np.bincount(batch.texture[:, 0] + 1, minlength=len(TEXTURES) + 1)
    assert counts[1] == 0, "no object is plain instead of itself"
    expected = np.r_[0.7, np.full(len(TEXTURES) - 1, 0.3 / (len(TEXTURES) - 1))] * 4000
    fits(chisquare(np.delete(counts, 1), expected).pvalue, "textures of objects")
    cloths = np.bincount(batch.cloth_texture + 1, minlength=len(TEXTURES) + 1)
    fits(chisquare(cloths, np.r_[0.7, np.full(len(TEXTURES), 0.3 / len(TEXTURES))] * 4000).pvalue, "cloths")


def every_pair(one: SceneBatch) -> SceneBatch:
    """Scenes of one object with all textures of it, and of the cloth."""
    names = range(ABSENT, len(one.textures))
    texture, cloth = np.array([(t, c) for t in names for c in names]).T
    return replace(one[np.zeros(len(texture), np.int64)], texture=texture[:, None], cloth_texture=cloth)


def test_probabilities_sum_to_one():
    """Over all textures of the one object and all cloths of one colour, times that colour's density of 1."""
    prior, plain = ScenePrior(WORN), ScenePrior(replace(WORN, perturb=Perturbation()))
    one = plain.sample_batch(np.random.default_rng(0), 1)
    many = every_pair(one)
    assert np.exp(prior.log_prob(many) - plain.log_prob(one)).sum() == pytest.approx(1.0)
    assert np.isfinite(plain.log_prob(many)).sum() == 1
    certain = ScenePrior(replace(WORN, perturb=Perturbation(texture=1.0)))
    assert certain.log_prob(one)[0] == -np.inf


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return tuple(
        picture_texture(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8) // (1 + 3 * k)) for k in (0, 1)
    )


def test_a_picture_is_kept_by_content():
    pixels = np.random.default_rng(9).integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    name = picture_texture(pixels)
    assert is_own(name) and name == picture_texture(pixels) != picture_texture(255 - pixels)
    assert np.array_equal(texture_pixels(name), pixels)


def test_pictures_are_worn_in_half_of_all_cases(pictures):
    config = replace(WORN, perturb=Perturbation(texture=1.0), pictures=pictures)
    prior = ScenePrior(config)
    scenes = prior.sample_batch(np.random.default_rng(0), 600).to_scenes()
    worn = [scene.objects[0].texture for scene in scenes] + [scene.cloth.texture for scene in scenes]
    counts = [worn.count(name) for name in pictures]
    assert all(240 < count < 360 for count in counts), "each a quarter of 1200"
    batch = SceneBatch.from_scenes(scenes, ("mug",), 1)
    assert batch.pictures == tuple(sorted(pictures)) and batch.to_scenes() == scenes
    assert np.isfinite(prior.log_prob(batch)).all()
    plain = ScenePrior(replace(WORN, perturb=Perturbation()))
    bare = replace(batch[:1], texture=np.array([[ABSENT]]), cloth_texture=np.array([ABSENT]))
    total = np.exp(prior.log_prob(every_pair(bare)) - plain.log_prob(bare)).sum()
    assert total == pytest.approx(1.0)


def test_pictures_are_drawn_as_their_pixels(pictures):
    """A cloth of noise reaches the image through some mipmap, which keeps the mean of each channel."""
    from air3d.renderers.raster import RasterRenderer

    scene = Scene(light=Light(diffuse=0.0, ambient=1.0), cloth=Cloth((1.0, 1.0, 1.0), pictures[1]))
    batch = SceneBatch.from_scenes([scene])
    config = RenderConfig(batch.kinds, max_objects=1, varied=True, pictures=batch.pictures)
    with RasterRenderer(config) as renderer:
        frames = renderer.render_frames(batch)
    mean = frames.rgb[np.isfinite(frames.depth_m)].mean(axis=0)
    assert mean == pytest.approx(texture_pixels(pictures[1]).mean(axis=(0, 1)), abs=2.0)
    with RasterRenderer(replace(config, pictures=())) as other, pytest.raises(InputError, match="RenderConfig"):
        other.render(batch)


def test_unknown_pictures_are_refused():
    with pytest.raises(InputError, match="picture@000000000000"):
        replace(WORN, pictures=("picture@000000000000",))


def test_batches_of_different_pictures_are_joined(pictures):
    mug = SceneObject.upright("mug", 0.1, 0.0)
    worn = [Scene((replace(mug, texture=name),), cloth=Cloth((0.1, 0.2, 0.3), name)) for name in (*pictures, "dots-2")]
    batches = [SceneBatch.from_scenes([scene, Scene()], ("mug",)) for scene in worn]
    joined = SceneBatch.concatenate(batches)
    assert joined.to_scenes() == [scene for one in worn for scene in (one, Scene())]
    assert joined.pictures == tuple(sorted(pictures))
