"""A multi-digit dataset on disk: same bytes however it is made; read back exactly; damage is named."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from air3d.cli.main import main
from air3d.datasets.build import Build
from air3d.datasets.digits.compose import compose
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.errors import InputError


def test_workers_and_parts_do_not_change_bytes(make_config, digits_data, generate_digits, digests, tmp_path):
    assert generate_digits(make_config(), tmp_path / "two", workers=2).made == 20
    assert digests(tmp_path / "two") == digests(digits_data)
    assert generate_digits(make_config(), tmp_path / "parts", "1/2").missing == 2
    assert generate_digits(make_config(), tmp_path / "parts", "0/2").missing == 0
    assert digests(tmp_path / "parts") == digests(digits_data)


def test_what_is_whole_is_kept(make_config, digits_data, generate_digits, digests, tmp_path):
    copy = shutil.copytree(digits_data, tmp_path / "copy")
    (copy / "shard-000001.tar").write_bytes(b"damaged")
    outcome = generate_digits(make_config(), copy)
    assert (outcome.made, outcome.kept) == (8, 12)
    assert digests(copy) == digests(digits_data)
    with pytest.raises(InputError, match=r"holds a dataset with canvas = 50, not 51"):
        Build(make_config(canvas=51), copy)


def test_reading_gives_back_what_was_composed(make_config, digits_data, digit_set):
    dataset, config = DigitsDataset(digits_data), make_config()
    arrays = dataset.arrays()
    assert len(dataset) == 20 and dataset.config == config
    for index in range(20):
        made, sample = compose(config, digit_set, index), dataset[index]
        assert sample.index == index and sample.digits == made.digits
        assert (sample.image == made.image).all() and (arrays.images[index] == made.image).all()
        count = len(made.digits)
        assert arrays.counts[index] == count
        assert arrays.digits[index].tolist() == [d.digit for d in made.digits] + [-1] * (2 - count)
        assert arrays.boxes[index, :count].tolist() == [list(d.box) for d in made.digits]
    assert [sample.index for sample in dataset] == list(range(20))
    assert (dataset.arrays(limit=5).images == arrays.images[:5]).all()
    assert dataset[-1].index == 19
    with pytest.raises(IndexError):
        dataset[20]


def test_the_files_are_plain_webdataset(digits_data):
    dataset = DigitsDataset(digits_data)
    with tarfile.open(digits_data / "shard-000001.tar") as tar:
        assert [m.name for m in tar] == [
            f"{i:08d}.{name}" for i in range(8, 16) for name in ("digits.json", "image.png")
        ]
        image = np.asarray(Image.open(io.BytesIO(tar.extractfile("00000009.image.png").read())))
        document = json.load(tar.extractfile("00000009.digits.json"))
    assert (image == dataset[9].image).all()
    assert document["count"] == len(document["digits"]) == len(dataset[9].digits)


def test_every_flipped_byte_is_noticed(digits_data, tmp_path):
    copy = shutil.copytree(digits_data, tmp_path / "copy")
    path = copy / "shard-000000.tar"
    good = path.read_bytes()
    places = json.loads((copy / "shard-000000.json").read_text())["members"]
    for member, rows in places.items():
        for offset in range(rows["offsets"][3], rows["offsets"][3] + rows["lengths"][3], 37):
            path.write_bytes(good[:offset] + bytes([good[offset] ^ 4]) + good[offset + 1 :])
            for read in (lambda: DigitsDataset(copy)[3], lambda: DigitsDataset(copy).arrays()):
                with pytest.raises(InputError, match=rf"sample 3: .*{member}.* is damaged"):
                    read()
    path.unlink()
    with pytest.raises(InputError, match=r"shard-000000\.tar: No such file"):
        DigitsDataset(copy).arrays()


def test_datasets_of_other_content_are_told_apart(digits_data, dataset):
    with pytest.raises(InputError, match="holds 'digits', not scenes"):
        SceneDataset(digits_data)
    with pytest.raises(InputError, match="holds 'scenes', not digits"):
        DigitsDataset(dataset)


@pytest.mark.parametrize("change", [{"source_sha256": "0"}, {"split": "test"}])
def test_other_digits_than_those_it_was_begun_with_are_refused(make_config, generate_digits, tmp_path, change):
    with pytest.raises(InputError, match="not those that the dataset was begun with"):
        generate_digits(replace(make_config(), **change), tmp_path)


def command(out, folder, *more):
    return ["generate", "digits", str(out), "--num", "20", "--mnist-dir", str(folder), *more]


def test_generate_command(mnist_dir, digits_data, digests, tmp_path, capsys):
    more = ("--scenes-per-shard", "8", "--workers", "2")
    assert main(command(tmp_path / "d", mnist_dir, *more)) == 0
    errors = capsys.readouterr().err
    assert "20 images made" in errors and "not MNIST's original files" in errors
    ours, theirs = digests(tmp_path / "d"), digests(digits_data)
    assert {k: v for k, v in ours.items() if k.endswith(".tar")} == {
        k: v for k, v in theirs.items() if k.endswith(".tar")
    }
    assert main(command(tmp_path / "d", mnist_dir, *more)) == 0
    assert "0 images made, 20 were there already" in capsys.readouterr().err
    assert main(command(tmp_path / "t", mnist_dir, "--split", "test", "--preset", "pyro", "--counts", "2", "3")) == 0
    assert set(DigitsDataset(tmp_path / "t").arrays().counts.tolist()) == {2, 3}


def test_generate_from_uci_needs_nothing(tmp_path):
    out = tmp_path / "d"
    assert main(["generate", "digits", str(out), "--num", "4", "--source", "uci", "--workers", "1", "--quiet"]) == 0
    assert len(DigitsDataset(out)) == 4


@pytest.mark.parametrize(
    "more, words",
    [
        (("--counts", "1", "1"), "counts"),
        (("--canvas", "20"), "canvas is 20 pixels"),
        (("--workers", "0"), "--workers 0"),
        (("--shard", "2/2"), "0/4 to 3/4"),
        (("--num", "0"), "num is 0"),
        (("--mnist-dir", "/nowhere"), "/nowhere: holds neither train-images-idx3-ubyte"),
    ],
)
def test_bad_settings_are_one_line(mnist_dir, tmp_path, capsys, more, words):
    assert main(command(tmp_path / "d", mnist_dir, *more)) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_inspect(digits_data, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["inspect", str(digits_data), "--json", "--sheet", str(sheet)]) == 0
    found = json.loads(capsys.readouterr().out)
    arrays = DigitsDataset(digits_data).arrays()
    assert found["counts"] == {str(n): int((arrays.counts == n).sum()) for n in range(3)}
    assert found["digits"] == {str(k): int((arrays.digits == k).sum()) for k in range(10)}
    assert (found["content"], found["samples"], found["digit_px"]) == ("digits", 20, [28, 28])
    sizes = (arrays.boxes[..., 2:] - arrays.boxes[..., :2])[arrays.digits >= 0]
    assert found["ink_px"] == pytest.approx(sizes.mean(axis=0).tolist())
    assert found["verified"] is True
    with Image.open(sheet) as image:
        assert image.size == (6 * 206 + 6, 4 * 206 + 6)
        pixels = np.asarray(image)
    first = DigitsDataset(digits_data)[next(i for i in range(20) if arrays.counts[i] == 1)]
    row, column = divmod(first.index, 6)
    x0, y0, x1, y1 = (4 * value for value in first.digits[0].box)
    tile = pixels[6 + 206 * row :, 6 + 206 * column :]
    for y, x in ((y0, x0), (y1 - 1, x1 - 1)):
        assert tile[y, x].tolist() == [0xFF, 0xE1, 0x4D]
    assert main(["inspect", str(digits_data)]) == 0
    text = capsys.readouterr().out
    for words in ("digits an image", "50x50 grey", "28 to 28 pixels", "all sha256 verified"):
        assert words in text
