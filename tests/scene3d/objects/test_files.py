"""Files and folders as kinds: names, units, BOP's models, colours of vertices and of materials."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from air3d.scene3d import own_kinds
from air3d.scene3d.assets import asset_path
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.objects.files import described, kind_name
from air3d.scene3d.objects.make import make_kind
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.objects.skin import sampled
from air3d.scene3d.own_kinds import own_path, short_name
from air3d.scene3d.srgb import encoded


def test_kinds_are_called_by_their_files(tmp_path):
    for file, name in {
        "a/Wine Bottle.xml": "wine_bottle",
        "003_cracker_box/google_16k/textured.obj": "obj_003_cracker_box",
        "objects/bowl.xml": "own_bowl",
        "x/tin/visual/model.urdf": "tin",
        "x/y.stl": "y",
    }.items():
        assert kind_name(tmp_path / file) == name


@pytest.mark.parametrize("unit, noted", [(1.0, False), (1000.0, True)])
def test_a_mesh_is_in_metres_or_millimetres(tmp_path, unit, noted):
    trimesh.creation.box(np.array([0.05, 0.06, 0.07]) * unit).export(tmp_path / "thing.stl")
    facts = make_kind(described(tmp_path / "thing.stl")[0])
    assert facts.size_m == pytest.approx((0.05, 0.06, 0.07), abs=1e-6)
    assert any("millimetre" in line for line in facts.warnings) == noted
    assert facts.symmetry == "2-fold, dihedral2" and not facts.symmetry_declared
    kind = get_kind(facts.kind)
    assert kind.symmetry.group == "dihedral2" and kind.symmetry.yaw_order == 2 and len(set(kind.colour)) == 1


def test_what_is_neither_is_refused(tmp_path):
    trimesh.creation.box([0.6, 0.6, 0.6]).export(tmp_path / "thing.stl")
    with pytest.raises(InputError, match=r"is 0.6 x 0.6 x 0.6 m if its unit is the metre; on this table it must be"):
        make_kind(described(tmp_path / "thing.stl")[0])


def test_the_models_of_a_bop_data_set(tmp_path):
    """Millimetres, a picture named by a comment, coordinates at vertices: what bop_toolkit's `save_ply` writes."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16], picture[16:] = (200, 30, 30), (30, 30, 200)
    Image.fromarray(picture).save(tmp_path / "obj_000005.png")
    ball = trimesh.creation.icosphere(3, 40.0)
    v = 0.5 + ball.vertices[:, 2] / 100.0
    head = (
        f"ply\nformat ascii 1.0\ncomment TextureFile obj_000005.png\nelement vertex {len(v)}\nproperty float x\n"
        "property float y\nproperty float z\nproperty float texture_u\nproperty float texture_v\nproperty uchar red\n"
        f"property uchar green\nproperty uchar blue\nelement face {len(ball.faces)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    rows = [f"{x} {y} {z} 0.5 {t} 9 9 {k % 255}" for k, ((x, y, z), t) in enumerate(zip(ball.vertices, v, strict=True))]
    rows += ["3 {} {} {}".format(*face) for face in ball.faces]
    (tmp_path / "obj_000005.ply").write_text(head + "\n".join(rows) + "\n")
    (tmp_path / "models_info.json").write_text(json.dumps({"5": {"diameter": 80.0}}))
    (name,) = resolve_kinds((str(tmp_path),))
    kind = get_kind(name)
    assert short_name(name) == "obj_000005" and kind.height_m == pytest.approx(0.08, abs=0.001)
    # A texture of two halves, one above the other, turns with the ball but not over: the picture, not the colours.
    assert kind.symmetry.continuous_yaw and not kind.symmetry.spherical
    mesh = load_mesh(name, "display")
    found = sampled(np.asarray(Image.open(asset_path("textures", f"{name}.png"))), mesh.uvs)
    high = mesh.positions_m[:, 2]
    assert (found[high > 0.05, 0] > 150).all() and (found[high < 0.03, 2] > 150).all()
    (tmp_path / "models_info.json").write_text('{"7": {}}')
    with pytest.raises(InputError, match=r"names object 7, but there is no obj_000007\.ply"):
        resolve_kinds((str(tmp_path),))


@pytest.mark.parametrize("suffix, subdivisions", [(".ply", 5), (".ply", 1), (".obj", 2), (".glb", 2)])
def test_colours_of_vertices_are_on_both_meshes(tmp_path, suffix, subdivisions):
    """Red rises with x, on few triangles and on more than either level keeps."""
    ball = trimesh.creation.icosphere(subdivisions, 0.04)
    rgb = np.concatenate([ball.vertices * 10 + 0.5, np.ones((len(ball.vertices), 1))], axis=1)
    rgb[:, 1] = 0.5
    ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=np.rint(rgb * 255).astype(np.uint8))
    file = tmp_path / f"thing{suffix}"
    if suffix == ".obj":
        lines = [f"v {p[0]} {p[1]} {p[2]} {c[0]} {c[1]} {c[2]}" for p, c in zip(ball.vertices, rgb, strict=True)]
        file.write_text("\n".join([*lines, *("f {} {} {}".format(*(face + 1)) for face in ball.faces)]))
    else:
        ball.export(file)
    (description,) = described(file)
    facts = make_kind(description)
    assert facts.symmetry == "none", "its colours turn with it"
    kind = get_kind(facts.kind)
    for detail, texture in (("display", kind.texture), ("inference", kind.inference_texture or kind.texture)):
        mesh = load_mesh(facts.kind, detail)
        centres, uvs = (values[mesh.faces].mean(axis=1) for values in (mesh.positions_m, mesh.uvs))
        found = sampled(np.asarray(Image.open(asset_path("textures", texture))), uvs) / 255.0
        wanted = 0.5 + 10 * centres[:, 0]
        if suffix == ".glb":  # its colours are of linear light, and y is up
            wanted = encoded(wanted)
        assert np.abs(found[:, 0] - wanted).mean() < 0.03, detail


def test_two_materials_of_a_glb(tmp_path):
    scene = trimesh.Scene()
    for z, colour in ((0.0, [255, 0, 0, 255]), (0.05, [0, 0, 255, 255])):
        part = trimesh.creation.box([0.05, 0.05, 0.05]).apply_translation([0, 0, z])
        part.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(baseColorFactor=colour)
        )
        scene.add_geometry(part)
    (tmp_path / "thing.toml").write_text('[thing]\nmesh = "thing.glb"\nup = "z"\n')
    (tmp_path / "thing.glb").write_bytes(scene.export(file_type="glb"))
    (name,) = resolve_kinds((str(tmp_path / "thing.toml"),))
    mesh = load_mesh(name, "inference")
    found = sampled(np.asarray(Image.open(asset_path("textures", f"{name}.png"))), mesh.uvs)
    centre = mesh.positions_m[mesh.faces].mean(axis=1)[:, 2]
    faces = found[mesh.faces].mean(axis=1)
    assert (faces[centre < 0.049, 0] > 200).all() and (faces[centre > 0.051, 2] > 200).all()


def test_a_folder_leaves_out_what_cannot_be_used(tmp_path):
    for k, size in enumerate((0.05, 0.06, 9.0)):
        (tmp_path / f"part{k}").mkdir()
        trimesh.creation.box([size, 0.05, 0.04]).export(tmp_path / f"part{k}" / "model.stl")
    said: list[str] = []
    found = resolve_kinds(("mug", str(tmp_path)), say=said.append)
    assert [short_name(name) for name in found] == ["mug", "part0", "part1"]
    assert len(said) == 1 and "part2" in said[0]
    with pytest.raises(InputError, match="part2"):
        resolve_kinds((str(tmp_path / "part2" / "model.stl"),))
    with pytest.raises(InputError, match=r"there is no such file"):
        resolve_kinds((str(tmp_path / "gone.xml"),))


def test_the_bodies_for_collisions_stay_with_a_kind(tmp_path):
    """Where they are in the object's frame, by mathematics; a file of them that somebody has changed is refused."""
    (tmp_path / "thing.toml").write_text('[thing]\nmesh = "thing.xml"\nscale = 0.5\nup = "y"\n')
    (tmp_path / "thing.xml").write_text(
        """<mujoco><asset><mesh name="m" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1 .01 .01 .01"/></asset><worldbody><body>
        <geom type="box" size=".1 .1 .05" contype="0" conaffinity="0"/>
        <geom type="capsule" size=".02 .04" pos=".1 0 0"/>
        <geom type="mesh" mesh="m" pos="0 0 .05"/></body></worldbody></mujoco>"""
    )
    (name,) = resolve_kinds((str(tmp_path / "thing.toml"),))
    path = own_path(name, "solids", f"{name}.json")
    capsule, hull = json.loads(path.read_bytes())["solids"]
    # Half as large; y, of which there are 10 cm above and below the middle, becomes z; so the capsule lies along -y.
    assert (capsule["kind"], capsule["size_m"]) == ("capsule", [0.01, 0.02, 0.0])
    assert capsule["position_m"] == pytest.approx([0.05, 0.0, 0.05], abs=1e-6)
    axis = Rotation.from_quat(capsule["rotation_wxyz"], scalar_first=True).apply([0.0, 0.0, 1.0])
    np.testing.assert_allclose(axis, [0.0, -1.0, 0.0], atol=1e-6)
    corners = sorted(map(tuple, np.round(hull["points_m"], 4).tolist()))
    assert corners == [(0.0, -0.075, 0.05), (0.0, -0.025, 0.05), (0.0, -0.025, 0.1), (0.05, -0.025, 0.05)]
    path.write_bytes(path.read_bytes().replace(b"capsule", b"capsula"))
    own_kinds._read.cache_clear()
    with pytest.raises(InputError, match="damaged"):
        get_kind(name)
