"""A BOP dataset read back with general tools alone, and checked against geometry: models projected by K, R and t."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trimesh
from PIL import Image
from pycocotools.coco import COCO
from scipy.spatial.transform import Rotation

from air3d.datasets.export.bop import BopExport
from air3d.datasets.export.bop_coco import BopCoco
from air3d.datasets.export.silhouettes import Silhouette
from air3d.datasets.reader import SceneDataset
from air3d.renderers.choice import make_renderer
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PERTURBED, Perturbation, PriorConfig
from air3d.scene3d.scene import Scene, SceneObject
from tests.painted_cup import painted_cup

RASTER = partial(make_renderer, backend="raster", workers=1)


class Instance(NamedTuple):
    """One annotated object with what belongs to it."""

    where: tuple[int, int, int]
    truth: dict[str, Any]
    info: dict[str, Any]
    matrix: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    mask: np.ndarray
    visible: np.ndarray
    depth_mm: np.ndarray


def read(folder: Path, scene: int, name: str) -> Any:
    return json.loads((folder / "test" / f"{scene:06d}" / f"{name}.json").read_text())


def picture(folder: Path, scene: int, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "test" / f"{scene:06d}" / name))


def instances(folder: Path) -> Iterator[Instance]:
    for scene in sorted(int(path.name) for path in (folder / "test").iterdir()):
        cameras, infos = read(folder, scene, "scene_camera"), read(folder, scene, "scene_gt_info")
        for image, objects in read(folder, scene, "scene_gt").items():
            camera = cameras[image]
            depth = picture(folder, scene, f"depth/{int(image):06d}.png")
            assert depth.dtype == np.uint16 or depth.dtype == np.int32
            for n, truth in enumerate(objects):
                file = f"{int(image):06d}_{n:06d}.png"
                yield Instance(
                    (scene, int(image), n),
                    truth,
                    infos[image][n],
                    np.reshape(camera["cam_K"], (3, 3)),
                    np.reshape(truth["cam_R_m2c"], (3, 3)),
                    np.array(truth["cam_t_m2c"]),
                    picture(folder, scene, f"mask/{file}"),
                    picture(folder, scene, f"mask_visib/{file}"),
                    depth * camera["depth_scale"],
                )


def models_of(folder: Path) -> dict[int, trimesh.Trimesh]:
    return {int(p.stem[4:]): trimesh.load(p, process=False) for p in (folder / "models").glob("obj_*.ply")}


@pytest.fixture(scope="module")
def models(bop) -> dict[int, trimesh.Trimesh]:
    return models_of(bop)


@pytest.mark.parametrize("name", ["bop", "tilted", "wide_bop", "variants", "settled"])
def test_projected_models_cover_the_masks_and_their_depth_is_the_images(request, export_bop, depth_of, tmp_path, name):
    if name == "tilted":
        bop = export_bop(request.getfixturevalue("tilted_scenes"), tmp_path / "tilted")
    elif name == "variants":
        prior = tabletop_prior(("mug~1", "bowl~2", "teapot~3", "pan~4"), 2, 4)
        bop = export_bop(request.getfixturevalue("make_dataset")(num=8, prior=prior), tmp_path / "variants")
    elif name == "settled":  # an imported cup of two pictures, in sizes, leaning and lying
        cup, *_ = resolve_kinds((str(painted_cup(tmp_path)),))
        prior = tabletop_prior((cup, "mug"), 3, 4, perturb=Perturbation(scale=0.2), pose="settled")
        dataset = request.getfixturevalue("make_dataset")(num=8, prior=prior, size=128)
        bop = export_bop(dataset, tmp_path / "settled")
    else:
        bop = request.getfixturevalue(name)
    checked, models, overlaps = 0, models_of(bop), []
    centres = json.loads((bop / "dataset_info.json").read_text())["objects"]
    for item in instances(bop):
        model = models[item.truth["obj_id"]]
        centre, scale = np.array(centres[str(item.truth["obj_id"])]["centre_mm"]), item.truth.get("scale", 1.0)
        points = (scale * (model.vertices + centre) - centre) @ item.rotation.T + item.shift
        if points[:, 2].min() < 1.0:
            continue
        depth = depth_of(points, model.faces, item.matrix, *item.mask.shape)
        mask, drawn = item.mask > 0, np.isfinite(depth)
        assert (mask & drawn).sum() >= 0.95 * (mask | drawn).sum(), item.where
        overlaps.append(((mask & drawn).sum(), (mask | drawn).sum()))
        seen = drawn & (item.visible > 0)
        if seen.sum() >= 5:
            assert np.abs(depth - item.depth_mm)[seen].mean() < 1.0, item.where
            checked += 1
    assert checked > (8 if name == "wide_bop" else 20)
    both, either = np.sum(overlaps, axis=0)  # of single small objects an outline is too large a share
    assert both >= 0.97 * either, both / either


def test_poses_are_rigid_and_the_camera_is_the_scenes(bop, scenes):
    dataset = SceneDataset(scenes)
    for item in instances(bop):
        np.testing.assert_allclose(item.rotation @ item.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(item.rotation) == pytest.approx(1.0)
    info = json.loads((bop / "dataset_info.json").read_text())["objects"]
    for index, sample in enumerate(dataset):
        scene, image = divmod(index, 8)
        camera = read(bop, scene, "scene_camera")[str(image)]
        rotation, shift = np.reshape(camera["cam_R_w2c"], (3, 3)), np.array(camera["cam_t_w2c"])
        middle = np.reshape(camera["cam_K"], (3, 3)) @ shift  # the world's origin, which the camera looks at
        np.testing.assert_allclose(middle[:2] / middle[2], 31.5, atol=1e-9)
        for item, truth in zip(sample["scene"].objects, read(bop, scene, "scene_gt")[str(image)], strict=True):
            known = info[str(truth["obj_id"])]
            assert known["kind"] == item.kind
            # BOP's origin of the model, by way of the world: the centre, turned by the yaw, moved to the place.
            x, y, z = known["centre_mm"]
            c, s = np.cos(item.yaw_rad), np.sin(item.yaw_rad)
            world = np.array([1000 * item.x_m + c * x - s * y, 1000 * item.y_m + s * x + c * y, z])
            np.testing.assert_allclose(truth["cam_t_m2c"], rotation @ world + shift, atol=1e-9)


def test_samples_of_objects_in_any_pose_say_it(tilted_scenes):
    tilted = 0
    for sample in SceneDataset(tilted_scenes):
        for item, known in zip(sample["scene"].objects, sample["annotations"]["objects"], strict=True):
            matrix = np.array(known["object_to_world"])
            turn = Rotation.from_quat(np.roll(known["rotation_wxyz"], -1)).as_matrix()
            np.testing.assert_allclose(matrix[:3, :3], turn, atol=1e-15)
            assert matrix[:3, 3].tolist() == known["position_m"] == list(item.position_m)
            assert known["rotation_wxyz"] == list(item.rotation_wxyz) and known["yaw_rad"] is None
            tilted += 1
    assert tilted > 20


def test_visibility_is_the_masks(bop, scenes):
    dataset, together = SceneDataset(scenes), {}
    for item in instances(bop):
        assert set(np.unique(item.mask)) <= {0, 255} and item.mask.dtype == np.uint8
        mask, visible = item.mask > 0, item.visible > 0
        assert not (visible & ~mask).any()
        info = item.info
        assert info["px_count_visib"] == visible.sum() and info["px_count_all"] == mask.sum()
        assert info["px_count_valid"] == (mask & (item.depth_mm > 0)).sum()
        assert 0.0 <= info["visib_fract"] <= 1.0
        assert info["visib_fract"] == pytest.approx(visible.sum() / mask.sum() if mask.any() else 0.0)
        for name, pixels in (("bbox_obj", mask), ("bbox_visib", visible)):
            rows, columns = np.nonzero(pixels)
            x, y, width, height = info[name]
            if visible.any():  # as bop_toolkit has it, boxes reach from the first to the last pixel's centre
                assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max(), rows.max())
            else:
                assert [x, y, width, height] == [-1] * 4
        scene, image, n = item.where
        numbers = together.setdefault(8 * scene + image, np.zeros((64, 64), np.uint8))
        assert not numbers[visible].any()
        numbers[visible] = n + 1
    assert any(item.info["visib_fract"] < 0.9 for item in instances(bop)), "nothing is hidden: the test sees nothing"
    for index, numbers in together.items():
        np.testing.assert_array_equal(numbers, dataset[index]["segmentation"])


def test_images_are_the_datasets(bop, scenes):
    for index, sample in enumerate(SceneDataset(scenes)):
        scene, image = divmod(index, 8)
        np.testing.assert_array_equal(picture(bop, scene, f"rgb/{image:06d}.png"), sample["image"])
        depth = picture(bop, scene, f"depth/{image:06d}.png") * read(bop, scene, "scene_camera")["0"]["depth_scale"]
        seen = np.isfinite(sample["depth_m"])
        np.testing.assert_allclose(depth[seen], 1000 * sample["depth_m"][seen], atol=1e-3)
        assert not depth[~seen].any()
    assert sum(1 for path in bop.rglob("rgb/*")) == 20


def test_targets(bop, near_bop):
    barely = 0
    for folder, count in ((bop, 20), (near_bop, 8)):
        wanted, images = Counter(), []
        for scene in range(-(-count // 8)):
            infos = read(folder, scene, "scene_gt_info")
            for image, objects in read(folder, scene, "scene_gt").items():
                images.append({"scene_id": scene, "im_id": int(image)})
                for truth, info in zip(objects, infos[image], strict=True):
                    wanted[scene, int(image), truth["obj_id"]] += info["visib_fract"] >= 0.1
                    barely += info["visib_fract"] < 0.1
        rows = json.loads((folder / "test_targets_bop19.json").read_text())
        found = {(row["scene_id"], row["im_id"], row["obj_id"]): row["inst_count"] for row in rows}
        assert len(found) == len(rows) and found == {key: count for key, count in wanted.items() if count}
        assert json.loads((folder / "test_targets_bop24.json").read_text()) == images and len(images) == count
    assert barely, "everything is visible enough: the test sees nothing"


def test_camera_file(bop):
    camera = json.loads((bop / "camera.json").read_text())
    matrix = np.reshape(read(bop, 0, "scene_camera")["0"]["cam_K"], (3, 3))
    assert [camera["fx"], camera["fy"], camera["cx"], camera["cy"]] == pytest.approx(matrix[[0, 1, 0, 1], [0, 1, 2, 2]])
    assert camera["fy"] == pytest.approx(32 / np.tan(np.radians(20)))
    assert (camera["width"], camera["height"], camera["depth_scale"]) == (64, 64, 0.1)


@pytest.mark.parametrize("name", ["near_bop", "wide_bop"])
def test_what_the_edge_cuts_off_counts(request, depth_of, name):
    cut, folder = 0, request.getfixturevalue(name)
    for item in instances(folder):
        height, width = item.mask.shape
        model = trimesh.load(folder / "models" / f"obj_{item.truth['obj_id']:06d}.ply", process=False)
        points = model.vertices @ item.rotation.T + item.shift
        if points[:, 2].min() < 1.0:
            continue
        canvas = item.matrix + np.array([[0, 0, width], [0, 0, height], [0, 0, 0]])
        drawn = np.isfinite(depth_of(points, model.faces, canvas, 3 * height, 3 * width))
        inside, info = (item.mask > 0).sum(), item.info
        assert info["px_count_all"] == pytest.approx(drawn.sum(), rel=0.03, abs=3), item.where
        assert info["visib_fract"] == pytest.approx(info["px_count_visib"] / info["px_count_all"])
        if info["px_count_visib"]:
            rows, columns = np.nonzero(drawn)
            corner = np.array([width, height])
            low, high = np.array([columns.min(), rows.min()]) - corner, np.array([columns.max(), rows.max()]) - corner
            np.testing.assert_allclose(info["bbox_obj"], [*low, *(high - low)], atol=1)
        cut += drawn.sum() > 1.2 * inside > 0
    assert cut >= 3, "nothing is cut off: the test sees nothing"


def test_the_same_export_has_the_same_bytes(scenes, bop, export_bop, tree, tmp_path):
    assert tree(export_bop(scenes, tmp_path / "again")) == tree(bop)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_an_interrupted_export_goes_on(scenes, bop, export_bop, tree, tmp_path, calls):
    left = calls

    def interrupt(images: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bop(scenes, tmp_path / "out", progress=interrupt)
    part = tree(tmp_path / "out")
    assert len([name for name in part if name.endswith("scene_gt.json")]) == calls - 1
    assert not [name for name in part if "tmp" in name]
    done = []
    export_bop(scenes, tmp_path / "out", progress=done.append)
    assert sum(done) == 20 - 8 * (calls - 1), "whole scenes are kept"
    assert tree(tmp_path / "out") == tree(bop)


def test_rubbish_of_a_killed_export_is_removed(scenes, bop, export_bop, tree, tmp_path):
    left = tmp_path / "out" / "test" / ".000001.12345.tmp"
    export_bop(scenes, tmp_path / "out", "val")
    (left / "rgb").mkdir(parents=True)
    (left / "rgb" / "000000.png").write_bytes(b"half")
    export_bop(scenes, tmp_path / "out")
    assert not left.exists()
    assert {k: v for k, v in tree(tmp_path / "out").items() if k.startswith("test")} == {
        k: v for k, v in tree(bop).items() if k.startswith("test")
    }


def test_splits_share_a_folder(scenes, near_scenes, export_bop, tmp_path):
    out = export_bop(near_scenes, export_bop(scenes, tmp_path / "out", "train"), "test")
    info = json.loads((out / "dataset_info.json").read_text())
    assert {name: split["images"] for name, split in info["splits"].items()} == {"test": 8, "train": 20}
    assert len(json.loads((out / "test_targets_bop24.json").read_text())) == 8
    assert len(list(out.glob("train/*/rgb/*.png"))) == 20


def test_other_data_is_refused(scenes, near_scenes, export_bop, make_dataset, tmp_path):
    out = export_bop(scenes, tmp_path / "out")
    before = sorted(out.rglob("*"))
    with pytest.raises(InputError, match=r"split 'test' with images = 20, not 8"):
        export_bop(near_scenes, out)
    other = make_dataset(num=1, prior=PriorConfig(kinds=("mug",)))
    with pytest.raises(InputError, match=r"holds an export with objects"):
        export_bop(other, out, "train")
    assert sorted(out.rglob("*")) == before


def test_splits_that_bop_cannot_read_are_refused(scenes, export_bop, tmp_path):
    for split, words in (("train_pbr", "JPEG"), ("holdout", "use train, val or test"), ("../test", "use train")):
        with pytest.raises(InputError, match=words):
            export_bop(scenes, tmp_path / "out", split)
    assert not (tmp_path / "out").exists()


def test_sizes_that_vary(scenes, make_dataset, export_bop, models, depth_of, tmp_path):
    """A model of size 1, scaled about where it stands and posed, covers the mask; unscaled it does not."""
    prior = replace(SceneDataset(scenes).config.prior, perturb=PERTURBED)
    out = export_bop(make_dataset(num=8, prior=prior), tmp_path / "out")
    info = json.loads((out / "dataset_info.json").read_text())
    assert info["splits"]["test"]["scales"] == [0.9, 1.1]
    overlaps = []
    for item in instances(out):
        model, centre = models[item.truth["obj_id"]], np.array(info["objects"][str(item.truth["obj_id"])]["centre_mm"])
        assert 0.9 <= item.truth["scale"] <= 1.1
        for scale in (item.truth["scale"], 1.0):
            points = (scale * (model.vertices + centre) - centre) @ item.rotation.T + item.shift
            drawn, mask = np.isfinite(depth_of(points, model.faces, item.matrix, 64, 64)), item.mask > 0
            overlaps.append((mask & drawn).sum() / (mask | drawn).sum())
    exact, nominal = np.reshape(overlaps, (-1, 2)).T
    assert exact.min() >= 0.95 and nominal.min() < 0.9 and len(exact) > 8
    assert not [
        truth for truth in read(export_bop(scenes, tmp_path / "one"), 0, "scene_gt").values() if "scale" in truth
    ]


def test_pixels_count_from_the_centre_or_from_the_corner(scenes, bop, export_bop, tmp_path):
    """MuJoCo's picture is symmetric about its middle: 31.5 pixels from a centre, 32 from a corner."""
    with BopExport(SceneDataset(scenes), tmp_path / "corner", "test", "raster", RASTER, "corner") as export:
        export.run(lambda images: None)
    for folder, middle in ((bop, 31.5), (tmp_path / "corner", 32.0)):
        camera = json.loads((folder / "camera.json").read_text())
        assert (camera["cx"], camera["cy"]) == (middle, middle)
        for row in read(folder, 1, "scene_camera").values():
            assert row["cam_K"][2] == row["cam_K"][5] == middle and row["cam_K"][8] == 1.0
    assert read(tmp_path / "corner", 1, "scene_gt") == read(bop, 1, "scene_gt")
    with pytest.raises(InputError, match='pixel_origin = "corner", not "centre"'):
        export_bop(scenes, tmp_path / "corner", "val")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_of_every_scene(near_bop, bop, scenes):
    """As bop_toolkit's calc_gt_coco.py: read by pycocotools, compared with the masks and infos."""
    for folder, count in ((bop, 3), (near_bop, 1)):
        assert len(list(folder.glob("test/*/scene_gt_coco.json"))) == count
        seen = {}
        for item in instances(folder):
            if item.visible.any():
                seen.setdefault(item.where[:2], []).append(item)
        for scene in range(count):
            with contextlib.redirect_stdout(io.StringIO()):
                coco = COCO(str(folder / "test" / f"{scene:06d}" / "scene_gt_coco.json"))
            assert [c["name"] for c in coco.loadCats([1, 2])] == list(CATALOG)[:2]
            for image, entry in coco.imgs.items():
                assert (folder / "test" / f"{scene:06d}" / entry["file_name"]).is_file()
                annotations = coco.loadAnns(coco.getAnnIds(imgIds=image))
                for item, found in zip(seen.get((scene, image), []), annotations, strict=True):
                    assert isinstance(found["segmentation"]["counts"], list) and found["id"] > 0
                    np.testing.assert_array_equal(coco.annToMask(found), item.visible > 0)
                    rows, columns = np.nonzero(item.mask)
                    x, y = columns.min(), rows.min()
                    assert found["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]
                    assert (found["category_id"], found["area"]) == (item.truth["obj_id"], (item.visible > 0).sum())
                    assert (found["width"], found["height"], found["iscrowd"]) == (64, 64, 0)
                    assert found["ignore"] is (item.info["visib_fract"] < 0.1)
    segmentation, whole = np.zeros((2, 64, 64), np.uint8)
    segmentation[0, :9], whole[0] = 1, True
    for pixels, ignored in ((64, False), (91, True)):  # beyond the edge, too: 9 of 64 are seen, 9 of 91
        made = BopCoco(SceneDataset(scenes).config, "")
        sample = {"segmentation": segmentation, "scene": Scene((SceneObject.upright("mug", 0.0, 0.0),))}
        made.add(0, sample, [Silhouette(whole > 0, pixels, None)])
        assert [found["ignore"] for found in made.document["annotations"]] == [ignored]


def test_two_at_once_are_refused(scenes, tmp_path):
    with BopExport(SceneDataset(scenes), tmp_path / "out", "test", "raster", lambda config: None):  # holds the lock
        code = (
            "import sys; from air3d.cli.main import main; sys.exit(main("
            f"['export', 'coco', {str(scenes)!r}, {str(tmp_path / 'out')!r}]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "another 'air3d export' is writing it" in done.stderr
