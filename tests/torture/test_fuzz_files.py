"""Files changed at random, given to the functions that read them: an InputError of one line, or a good answer."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from air3d.datasets.config import GenerateConfig
from air3d.datasets.pictures import as_picture
from air3d.datasets.reader import SceneDataset
from air3d.datasets.torch_dataset import SceneStream
from air3d.networks.weights import load_tensors
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene_json import load_scene, scene_from_dict, scene_to_dict
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.store import load_model
from air3d.training.checkpoint import read_checkpoint, write_checkpoint
from air3d.training.config import TrainConfig
from air3d.training.run_folder import RunFolder, read_log

# Hypothesis warns that a shard is long; it would be printed only if a test fails.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

# Numbers at the edges of types and beyond, texts that are paths, and whatever JSON there is.
NASTY = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        10**400,
        -0.0,
        1e-320,
        1e308,
        "",
        "..",
        "/etc/passwd",
        "../../x",
        "\x00",
        "é" * 500,
    ]
    + [[], {}, [[[]]], [1e400], {"": None}, "nan", [0] * 1000]
)
JSON = st.recursive(
    NASTY | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def fuzz(cases: int) -> Callable[[Any], Any]:
    unhealthy = list(HealthCheck)
    return settings(max_examples=cases, suppress_health_check=unhealthy, deadline=None, derandomize=True, database=None)


@st.composite
def edits(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with up to three values replaced, added or taken away, anywhere in it."""
    made = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        parent, value = None, made
        key: Any = None
        while isinstance(value, (dict, list)) and value and (parent is None or draw(st.integers(0, 4))):
            parent = value
            key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
            value = value[key]
        how = draw(st.integers(0, 3))
        if parent is None or how == 3:
            continue
        if how == 0:
            del parent[key]
        elif how == 1 and isinstance(parent, dict):
            parent[draw(st.text(max_size=6))] = draw(JSON)
        else:
            parent[key] = draw(JSON)
    return made


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes cut off, flipped, overwritten, doubled or put in."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        how = draw(st.sampled_from(["cut", "flip", "overwrite", "double", "insert", "huge"]))
        if how == "cut":
            del made[at:]
        elif how == "flip" and made:
            made[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "overwrite":
            made[at : at + 8] = draw(st.binary(min_size=8, max_size=8))
        elif how == "double":
            made[at:at] = made[: 1 << 12]
        elif how == "insert":
            made[at:at] = draw(st.binary(max_size=64))
        else:
            made[at : at + 8] = draw(st.sampled_from([b"\xff" * 8, b"\x7f" + b"\xff" * 7, bytes(8)]))
    return bytes(made)


Accepted = Callable[[Callable[[], object]], bool]


@pytest.fixture
def accepted(sealed: Any, tmp_path: Path) -> Accepted:
    """accepted(act): whether an action went well; False for an InputError of one short line. All else is raised."""

    def run(act: Callable[[], object]) -> bool:
        try:
            with sealed(tmp_path):
                act()
        except InputError as error:
            message = str(error)
            if "\n" in message or len(message) > 1000:
                raise AssertionError(f"not one short line: {message!r}") from error
            return False
        return True

    return run


SCENE = scene_to_dict(
    Scene((SceneObject.upright("mug", 0.0, 0.0), SceneObject.upright("plate", 0.1, 0.1, yaw_rad=1.0)))
)
CONFIG = config_to_dict(GenerateConfig("single", 22, 0, single_prior(), size=32, scenes_per_shard=8))


def test_scenes(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    path, cases = tmp_path / "scene.json", 300

    @fuzz(cases // 2)
    @given(edits(SCENE))
    def changed(document: Any) -> None:
        if accepted(lambda: scene_from_dict(document)):
            assert scene_from_dict(scene_to_dict(scene_from_dict(document))) == scene_from_dict(document)

    @fuzz(cases // 2)
    @given(damages(json.dumps(SCENE).encode()))
    def damaged(data: bytes) -> None:
        path.write_bytes(data)
        accepted(lambda: load_scene(path))

    changed()
    damaged()
    tried("scene files, changed at random", cases)


def test_configurations(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    train = config_to_dict(TrainConfig(guide=OneLookConfig()))

    @fuzz(100)
    @given(edits(CONFIG))
    def of_datasets(document: Any) -> None:
        accepted(lambda: config_from_dict(GenerateConfig, document, "config"))

    @fuzz(100)
    @given(edits(train))
    def of_trainings(document: Any) -> None:
        accepted(lambda: config_from_dict(TrainConfig, document, "config"))

    of_datasets()
    of_trainings()
    tried("configurations, changed at random", 200)


TOML = b"""
[cow]
mesh = "cow.obj"
height_m = 0.09
up = "y"
turn_deg = 90
colour = [0.9, 0.5, 0.1]
symmetry = 4
"""


def test_kinds_of_ones_own(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    described = pytest.importorskip("air3d.scene3d.objects.description")
    (tmp_path / "cow.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    path = tmp_path / "kinds.toml"
    path.write_bytes(TOML)
    assert accepted(lambda: described.read_descriptions(path))
    strange = (b"/etc/passwd", b"..", b"\\u0000", b"\\U0001F600.obj", b"", b"a/b/c.obj")

    @fuzz(120)
    @given(damages(TOML))
    def damaged(content: bytes) -> None:
        path.write_bytes(content)
        accepted(lambda: described.read_descriptions(path))

    damaged()
    for word in strange:
        path.write_bytes(TOML.replace(b"cow.obj", word))
        assert not accepted(lambda: described.read_descriptions(path))
    tried("kinds of one's own (TOML), changed at random", 120 + len(strange))


PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes which says, and truthfully for its first rows, that it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 22), 9)
    return PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def picture_bytes(kind: str) -> bytes:
    rng, buffer = np.random.default_rng(1), io.BytesIO()
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    first = Image.fromarray(pixels)
    if kind == "16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(buffer, "PNG")
    elif kind in ("1", "L", "P", "LA", "RGBA", "CMYK"):
        first.convert(kind).save(buffer, "TIFF" if kind == "CMYK" else "PNG")
    elif kind == "one":
        first.crop((0, 0, 1, 1)).save(buffer, "PNG")
    elif kind == "animated":
        first.save(buffer, "GIF", save_all=True, append_images=[Image.fromarray(255 - pixels)])
    else:
        first.save(buffer, kind)
    return buffer.getvalue()


GOOD = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "16", "1", "L", "P", "LA", "RGBA", "CMYK", "one", "animated")


def test_pictures(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    path = tmp_path / "picture.png"

    def read() -> None:
        found = as_picture(path, 16)
        assert found.shape == (16, 16, 3) and found.dtype == np.uint8

    for kind in GOOD:
        path.write_bytes(picture_bytes(kind))
        assert accepted(read), f"a good picture: {kind}"
    for width, height in (
        (1 << 31, 1 << 31),
        (65535, 65535),
        (1 << 30, 1),
        (20_000, 10_001),
        (0, 5),
        (30_000, 3_000),
    ):
        path.write_bytes(bomb(width, height))
        assert not accepted(read), f"a bomb: {width}x{height}"
    for kind in GOOD:

        @fuzz(25)
        @given(damages(picture_bytes(kind)))
        def damaged(data: bytes) -> None:
            path.write_bytes(data)
            accepted(read)

        damaged()
    tried("pictures, damaged at random, of odd kinds, and decompression bombs", 25 * len(GOOD) + len(GOOD) + 6)


def tar_of(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * min(member.size, 1000)) if member.isreg() else None)
    return buffer.getvalue()


def evil(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 4) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size if kind == tarfile.REGTYPE else 0
    return tar_of(member)


def huge_member() -> bytes:
    member = tarfile.TarInfo("00000000.image.png")
    member.size = 1 << 40
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


EVIL = [
    evil("/etc/passwd"), evil("../../../tmp/escaped"), evil("00000000.image.png", tarfile.SYMTYPE, "/etc/passwd"),
    evil("00000000.image.png", tarfile.LNKTYPE, "../../x"), evil("00000000.scene.json", tarfile.CHRTYPE),
    evil("00000000.depth.png", tarfile.FIFOTYPE), evil("00000000.pkl"), evil("00000000.pyd"), evil("x" * 300),
    huge_member(), b"", bytes(10240),
]  # fmt: skip


def test_shards(data: Path, accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    """What is damaged is named; every sample that a reader gives out is the one that was written."""
    folder = shutil.copytree(data, tmp_path / "d")
    path = folder / "shard-000001.tar"
    whole = path.read_bytes()
    images = np.stack([sample["image"] for sample in SceneDataset(folder)])

    def check(content: bytes) -> int:
        """Read a dataset in every way; the number of ways that refused it."""
        path.write_bytes(content)
        problems = SceneDataset(folder).verify()
        assert problems == [] if content == whole else len(problems) == 1 and path.name in problems[0]
        refused = 0
        for read in (SceneDataset, lambda place: SceneStream(place, 0, shuffle_buffer=0)):
            found: list[Any] = []
            refused += not accepted(lambda read=read, found=found: found.extend(read(folder)))
            for sample in found:
                assert np.array_equal(sample["image"], images[sample["index"]])
        return refused

    @fuzz(150)
    @given(damages(whole))
    def damaged(content: bytes) -> None:
        check(content)

    damaged()
    for content in EVIL:
        assert check(content) == 2
        check((content + bytes(len(whole)))[: len(whole)])  # of the right size, so that it is opened at all
    assert check(whole) == 0
    tried("shards, damaged at random, and hostile tar files", 150 + 2 * len(EVIL))


@pytest.mark.parametrize("name", ["manifest.json", "shard-000001.json", "config.json"])
def test_indices(data: Path, accepted: Accepted, tmp_path: Path, name: str, tried: Any) -> None:
    folder = shutil.copytree(data, tmp_path / "d")
    path = folder / name
    whole = path.read_bytes()

    def read() -> None:
        reader = SceneDataset(folder)
        reader.verify()
        accepted(lambda: [reader[index] for index in (0, 8, -1)])

    @fuzz(60)
    @given(edits(json.loads(whole)))
    def changed(document: Any) -> None:
        path.write_text(json.dumps(document))
        accepted(read)

    @fuzz(40)
    @given(damages(whole))
    def damaged(content: bytes) -> None:
        path.write_bytes(content)
        accepted(read)

    changed()
    damaged()
    tried("manifests and indices of datasets, changed at random", 100)


def header_of(length: int, header: object) -> bytes:
    return struct.pack("<Q", length) + json.dumps(header).encode()


ABSURD_TENSORS = [
    header_of(1 << 62, {}), header_of(2, {}), struct.pack("<Q", 1 << 20) + b"{}",
    header_of(80, {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
    header_of(80, {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 0]}}),
    header_of(60, {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}),
    save({"a": torch.tensor([float("nan")])}), save({}), save({"iteration": torch.tensor(-1)}),
]  # fmt: skip


def test_checkpoints(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, {"a": torch.ones(3, 2), "iteration": torch.tensor(4)})
    whole = path.read_bytes()

    @fuzz(150)
    @given(damages(whole))
    def damaged(content: bytes) -> None:
        path.write_bytes(content)
        accepted(lambda: read_checkpoint(path))
        accepted(lambda: load_tensors(content, path))

    damaged()
    for content in ABSURD_TENSORS:
        path.write_bytes(content)
        accepted(lambda: read_checkpoint(path))
    tried("checkpoints, damaged at random or absurd", 150 + len(ABSURD_TENSORS))


@pytest.mark.parametrize("shipped", ["single-object", "tabletop"])
def test_models(accepted: Accepted, tmp_path: Path, shipped: str, tried: Any) -> None:
    folder = shutil.copytree(Path(__file__).parents[2] / "assets" / "weights" / shipped, tmp_path / "model")
    config, weights = folder / "config.json", folder / "weights.safetensors"
    document, whole = json.loads(config.read_text()), weights.read_bytes()
    document["weights_sha256"] = "0" * 64  # the weights are large: what is in them is the business of other tests

    @fuzz(80)
    @given(edits(document))
    def changed(edited: Any) -> None:
        config.write_text(json.dumps(edited))
        assert not accepted(lambda: load_model(str(folder)))

    changed()
    config.write_text(json.dumps(document))
    for content in (whole[:-1], whole[:9], b"", *ABSURD_TENSORS):
        weights.write_bytes(content)
        assert not accepted(lambda: load_model(str(folder)))
    tried("model folders, changed at random", 80 + 3 + len(ABSURD_TENSORS))


def test_runs(accepted: Accepted, tmp_path: Path, tried: Any) -> None:
    config = TrainConfig(guide=OneLookConfig())
    RunFolder(tmp_path / "run", config, {})
    path, log = tmp_path / "run" / "run.json", tmp_path / "run" / "log.jsonl"
    document = json.loads(path.read_text())

    @fuzz(60)
    @given(edits(document))
    def changed(edited: Any) -> None:
        path.write_text(json.dumps(edited))
        if accepted(lambda: RunFolder(tmp_path / "run", config, {})):
            assert {k: v for k, v in edited.items() if v is not None} == document

    @fuzz(60)
    @given(damages(b'{"iteration": 1, "x": [1, 2]}\n{"iteration": 2}\n'))
    def damaged(content: bytes) -> None:
        log.write_bytes(content)
        accepted(lambda: read_log(tmp_path / "run"))

    changed()
    damaged()
    tried("runs: configuration and log, changed at random", 120)
