"""Multi-digit datasets from made-up digits: files as MNIST's, no network and no MNIST."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from air3d.datasets.build import Build, Outcome, Part
from air3d.datasets.digits.compose import DigitsRecipe
from air3d.datasets.digits.config import PRESETS, DigitsConfig, Preset
from air3d.datasets.digits.sources import DigitSet, load_digits

MADE_WITH = {"air3d": "test"}


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx format, as its description has it."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def made_up_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles of noise inside 28x28, with their labels."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), dtype=np.uint8)
    for image in images:
        width, height = rng.integers(3, 15, size=2)
        left, top = rng.integers(4, 10, size=2)
        image[top : top + height, left : left + width] = rng.integers(1, 256, size=(height, width))
    return images, rng.integers(10, size=count)


@pytest.fixture(scope="session")
def write_mnist() -> Callable[[Path, str, np.ndarray, np.ndarray], None]:
    """write_mnist(folder, prefix, images, labels): two files as MNIST's, plain."""

    def write(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray) -> None:
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))

    return write


@pytest.fixture(scope="session")
def made_up() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels by split."""
    return {"train": made_up_digits(40, 5), "test": made_up_digits(20, 4)}


@pytest.fixture(scope="session")
def mnist_dir(made_up, write_mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 train and 20 test digits; the train images packed, the others plain."""
    folder = tmp_path_factory.mktemp("mnist")
    write_mnist(folder, "train", *made_up["train"])
    write_mnist(folder, "t10k", *made_up["test"])
    plain = folder / "train-images-idx3-ubyte"
    plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return folder


@pytest.fixture(scope="session")
def digit_set(mnist_dir: Path) -> DigitSet:
    return load_digits("mnist", "train", mnist_dir)


@pytest.fixture(scope="session")
def make_config(digit_set: DigitSet) -> Callable[..., DigitsConfig]:
    """make_config(preset, **changes): 20 images in 3 shards, the last one short."""

    def make(preset: Preset = "paper", **changes: object) -> DigitsConfig:
        look = PRESETS[preset]
        values: dict[str, object] = {
            "num": 20,
            "seed": 0,
            "scenes_per_shard": 8,
            "shrink_mean": look.shrink_mean,
            "shrink_std": look.shrink_std,
            "rule": look.rule,
        }
        return DigitsConfig(preset, "mnist", "train", digit_set.sha256, **(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def generate_digits(mnist_dir: Path) -> Callable[..., Outcome]:
    """generate_digits(config, folder, part, workers) runs a build."""

    def run(config: DigitsConfig, folder: Path, part: str = "0/1", workers: int = 1) -> Outcome:
        with Build(config, folder, Part.parse(part)) as build:
            return build.run(DigitsRecipe(config, mnist_dir), MADE_WITH, workers, lambda images: None)

    return run


@pytest.fixture(scope="session")
def digits_data(make_config, generate_digits, tmp_path_factory) -> Path:
    """A complete dataset; read only."""
    folder = tmp_path_factory.mktemp("digits") / "made"
    generate_digits(make_config(), folder)
    return folder
