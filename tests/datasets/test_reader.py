"""Readers give back what was generated, agree with plain tarfile and webdataset, and trust nothing they read."""

from __future__ import annotations

import gc
import json
import pickle  # noqa: TID251  to see that it can be done
import shutil
import tarfile

import numpy as np
import pytest
import webdataset

from air3d.datasets.generation import generate_scenes
from air3d.datasets.png import decode_png
from air3d.datasets.reader import SceneDataset
from air3d.datasets.shards import check_header
from air3d.renderers.analytic import AnalyticRenderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import scene_from_dict


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copy")


def edit_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_round_trip_of_everything_generated(config, dataset):
    reader = SceneDataset(dataset)
    assert len(reader) == 22 and reader.config == config
    for item, sample in zip(
        generate_scenes(config, range(22), AnalyticRenderer(config.render_config)), reader, strict=True
    ):
        assert sample["index"] == item.index
        assert sample["scene"] == item.scene
        np.testing.assert_array_equal(sample["image"], item.image)
        np.testing.assert_array_equal(sample["segmentation"], item.segmentation)
        seen = np.isfinite(item.depth_m)
        np.testing.assert_array_equal(np.isfinite(sample["depth_m"]), seen)
        np.testing.assert_allclose(sample["depth_m"][seen], item.depth_m[seen], atol=0.51e-4)
        assert (sample["image"].dtype, sample["depth_m"].dtype) == (np.uint8, np.float32)


def test_agrees_with_plain_tarfile(dataset):
    reader = SceneDataset(dataset)
    for path in reader.shard_paths:
        with tarfile.open(path) as tar:
            for info in tar:
                key, member = info.name.split(".", 1)
                data = tar.extractfile(info).read()
                if member == "scene.json":
                    assert scene_from_dict(json.loads(data)["scene"]) == reader[int(key)]["scene"]
                elif member == "image.png":
                    np.testing.assert_array_equal(decode_png(data, "RGB", 32, 32), reader[int(key)]["image"])


# It never closes its files.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_plain_webdataset_reads_it(dataset):
    urls = [str(path) for path in sorted(dataset.glob("*.tar"))]
    records = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [record["__key__"] for record in records] == [f"{i:08d}" for i in range(22)]
    np.testing.assert_array_equal(records[9]["image.png"], SceneDataset(dataset)[9]["image"])
    gc.collect()


def test_indexing_and_pickling(dataset):
    reader = SceneDataset(dataset)
    assert reader[-1]["index"] == 21 == reader[np.int64(21)]["index"]
    for index in (22, -23):
        with pytest.raises(IndexError):
            reader[index]
    assert SceneDataset(str(dataset))[np.array(3)]["index"] == 3
    for index in (None, "3", 1.5, ..., slice(2)):
        with pytest.raises(InputError, match=r"the sample is .*; use a whole number"):
            reader[index]
    for folder in (None, 3, [dataset], ...):
        with pytest.raises(InputError, match=r"the dataset.s folder is .*; give a path"):
            SceneDataset(folder)
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301  as DataLoader workers receive it
    assert again[3]["scene"] == reader[3]["scene"]
    assert reader.document(4)["index"] == 4


def test_folders_without_a_dataset(dataset, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        SceneDataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no dataset"):
        SceneDataset(tmp_path)
    shutil.copy(dataset / "config.json", tmp_path)
    with pytest.raises(InputError, match="not complete yet"):
        SceneDataset(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema="air3d-dataset/99"),
        lambda m: m["shards"].pop(),
        lambda m: m["shards"][0].update(file="../../etc/passwd"),
        lambda m: m["shards"][0].update(file="/etc/passwd"),
        lambda m: m["config"].update(num=10**8),
        lambda m: m["config"].update(size=2048),
        lambda m: m["config"]["prior"].update(kinds=["spoon"]),
        lambda m: m.pop("samples"),
        lambda m: m.update(extra=1),
    ],
)
def test_damaged_manifests_are_refused(copy, change):
    edit_json(copy / "manifest.json", change)
    with pytest.raises(InputError, match=r"manifest\.json") as caught:
        SceneDataset(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b'{"a": NaN}', b"[" * 100_000])
def test_manifests_that_are_not_json_are_refused(copy, text):
    (copy / "manifest.json").write_bytes(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        SceneDataset(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["offsets"].__setitem__(3, 1 << 60),
        lambda p: p["offsets"].__setitem__(3, -512),
        lambda p: p["offsets"].__setitem__(3, p["offsets"][3] + 1),
        lambda p: p["offsets"].__setitem__(3, p["offsets"][2]),
        lambda p: p["lengths"].__setitem__(3, 1 << 40),
        lambda p: p["lengths"].__setitem__(3, -1),
        lambda p: p["lengths"].__setitem__(3, p["lengths"][3] - 1),
        lambda p: p["lengths"].pop(),
        lambda p: p["crc32"].__setitem__(3, p["crc32"][3] ^ 1),
        lambda p: p.pop("offsets"),
    ],
)
def test_wrong_indices_are_noticed(copy, change):
    edit_json(copy / "shard-000000.json", lambda data: change(data["members"]["image.png"]))
    reader = SceneDataset(copy)
    with pytest.raises(InputError, match=r"sample 3: .*generate' command again"):
        reader[3]
    assert reader[10]["index"] == 10


def test_every_flipped_byte_of_a_sample_is_noticed(copy):
    index = json.loads((copy / "shard-000000.json").read_text())["members"]
    path = copy / "shard-000000.tar"
    good = path.read_bytes()
    reader = SceneDataset(copy)
    rng = np.random.default_rng(0)
    for member, places in index.items():
        for offset in rng.integers(places["lengths"][2], size=8) + places["offsets"][2]:
            path.write_bytes(good[:offset] + bytes([good[offset] ^ 4]) + good[offset + 1 :])
            with pytest.raises(InputError, match=rf"sample 2: .*{member}.* is damaged"):
                reader[2]
            assert reader[3]["index"] == 3


def test_missing_and_short_shards_are_named(copy):
    reader = SceneDataset(copy)
    (copy / "shard-000001.tar").unlink()
    with pytest.raises(InputError, match=r"shard-000001.tar: No such file"):
        reader[8]
    (copy / "shard-000002.tar").write_bytes(b"short")
    with pytest.raises(InputError, match=r"shard-000002.tar: is too short"):
        reader[16]
    with pytest.raises(InputError, match=r"shard-000001.tar is missing"):
        reader.check_sizes()
    problems = reader.verify()
    assert len(problems) == 2 and "shard-000001.tar" in problems[0] and "shard-000002.tar" in problems[1]


@pytest.mark.parametrize("block", [b"\n\0\x80\x80v\x80", b"a\nb", b"a" * 100])
def test_a_foreign_tar_header_is_refused_in_one_line(block):
    """The first was found by atheris: a header without a checksum, whose name is a line's end."""
    header = bytearray(tarfile.TarInfo("00000000.image.png").tobuf())
    if b"\x80" not in block:
        header[:100] = block.ljust(100, b"\0")
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
        block = bytes(header)
    with pytest.raises(InputError) as refused:
        check_header(block.ljust(512, b"\0"), "00000000.image.png", 4)
    assert "\n" not in str(refused.value) and "00000000.image.png" in str(refused.value)


def test_a_shard_of_another_dataset_is_refused(copy, config, generate, tmp_path):
    from dataclasses import replace

    generate(replace(config, seed=1), tmp_path / "other")
    for name in ("shard-000001.tar", "shard-000001.json"):
        shutil.copy(tmp_path / "other" / name, copy)
    with pytest.raises(InputError, match=r"shard-000001.tar: is not the shard that the manifest lists"):
        SceneDataset(copy)[8]
    assert len(SceneDataset(copy).verify()) == 1
