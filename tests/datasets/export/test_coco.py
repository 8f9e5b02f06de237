"""A COCO dataset as pycocotools reads it."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from air3d.datasets.export.coco import CocoExport, categories, numbers
from air3d.datasets.export.rle import rle
from air3d.datasets.reader import SceneDataset

# pycocotools' own, under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def export(dataset, out, split="train", progress=lambda images: None):
    with CocoExport(SceneDataset(dataset), out, split) as run:
        run.run(progress)
    return out


@pytest.fixture(scope="module")
def exported(near_scenes, tmp_path_factory):
    return export(near_scenes, tmp_path_factory.mktemp("coco") / "near")


@pytest.fixture(scope="module")
def coco(exported):
    return opened(exported)


def opened(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "annotations" / "instances_train.json"))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.03, 0.5, 0.97, 1.0]))
def test_run_lengths_are_pycocotools(seed, height, width, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    reference = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    found = rle(mask)
    assert found["counts"].encode() == reference["counts"] and found["size"] == reference["size"]


@pytest.mark.parametrize("name", ["near_scenes", "tilted_scenes", "wide_scenes"])
def test_masks_decode_to_the_segmentation(request, name, tmp_path):
    dataset = request.getfixturevalue(name)
    coco, seen = opened(export(dataset, tmp_path / "coco")), 0
    for sample in SceneDataset(dataset):
        numbers = np.zeros(sample["segmentation"].shape, np.uint8)
        (entry,) = coco.loadImgs(sample["index"])
        assert (entry["height"], entry["width"]) == numbers.shape
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=sample["index"]))
        kinds = [coco.cats[a["category_id"]]["name"] for a in annotations]
        shown = [n for n in range(len(sample["scene"].objects)) if (sample["segmentation"] == n + 1).any()]
        assert kinds == [sample["scene"].objects[n].kind for n in shown]
        for n, annotation in zip(shown, annotations, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            numbers[mask] = n + 1
            assert annotation["area"] == mask.sum() and annotation["iscrowd"] == 0
            assert annotation["bbox"] == masks.toBbox(annotation["segmentation"]).tolist()
            seen += 1
        np.testing.assert_array_equal(numbers, sample["segmentation"])
    assert seen == len(coco.anns) > 8
    assert min(coco.anns) == 1, "0 would mean no match to pycocotools"


def test_images(coco, exported, near_scenes):
    for index, sample in enumerate(SceneDataset(near_scenes)):
        (entry,) = coco.loadImgs(index)
        pixels = np.asarray(Image.open(exported / "train" / entry["file_name"]))
        np.testing.assert_array_equal(pixels, sample["image"])
        assert pixels.shape[:2] == (entry["height"], entry["width"])
    assert len(coco.imgs) == 8


def test_categories_are_called_by_plain_names():
    kinds = ("mug", "shell@0123456789ab", "pan@0123456789ab", "pan")
    names = ["mug", "shell", "pan@0123456789ab", "pan"]
    assert [(c["id"], c["name"]) for c in categories(numbers(kinds))] == list(enumerate(names, 1))


def test_variants_of_a_family_are_one_category():
    kinds = ("mug~1@0123456789ab", "cube", "mug~2@0123456789ab", "plate~1@0123456789ab", "mug~12")
    found = numbers(kinds)
    assert list(found.values()) == [1, 2, 1, 3, 1]
    assert [(c["id"], c["name"]) for c in categories(found)] == [(1, "mug"), (2, "cube"), (3, "plate")]


def test_runs_uncompressed():
    mask = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)
    assert rle(mask, compressed=False) == {"size": [2, 3], "counts": [0, 2, 1, 1, 2]}
    assert rle(~mask, compressed=False)["counts"] == [2, 1, 1, 2]


@pytest.mark.parametrize("what", ["bbox", "segm"])
def test_the_truth_scores_full_marks(coco, what):
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.loadRes([{**annotation, "score": 1.0} for annotation in coco.anns.values()])
        evaluation = COCOeval(coco, found, what)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_an_interrupted_export_goes_on(scenes, tree, tmp_path):
    whole = tree(export(scenes, tmp_path / "whole"))
    done = []

    def interrupt(images):
        done.append(images)
        if len(done) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(scenes, tmp_path / "out", progress=interrupt)
    part = tree(tmp_path / "out")
    assert len([name for name in part if name.endswith(".png")]) == 16
    assert not any(name.startswith("annotations") for name in part)
    with CocoExport(SceneDataset(scenes), tmp_path / "out", "train") as run:
        assert run.run(lambda images: None) == (4, 16)
    assert tree(tmp_path / "out") == whole


def test_splits_share_a_folder(scenes, near_scenes, tmp_path):
    out = export(near_scenes, export(scenes, tmp_path / "out"), "val")
    names = sorted(path.name for path in (out / "annotations").iterdir())
    assert names == ["instances_train.json", "instances_val.json"]
    assert len(json.loads((out / "annotations" / "instances_val.json").read_text())["images"]) == 8
