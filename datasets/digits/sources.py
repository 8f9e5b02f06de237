"""Where the single digits come from: MNIST, or the small UCI set that comes with scikit-learn and needs no network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from air3d.datasets.digits.idx import parse_idx
from air3d.datasets.digits.mnist import FILES, SHA256, read_file
from air3d.scene3d.errors import InputError

Source = Literal["mnist", "uci"]
Split = Literal["train", "validation", "test"]
_Part = Literal["train", "test"]  # as the sources themselves are divided

SIDE_PX = 28
_INK_PX = 20  # MNIST's digits fill 20 pixels of the 28 in one direction; UCI's are enlarged to the same
_UCI_LEVELS = 16
_UCI_TRAIN = 1437  # of 1797; the set is ordered by writer, so the others are mostly by other hands
_KEPT_BACK = 6  # one in so many of a source's training digits, the last ones, is for validation: MNIST's last 10,000


@dataclass(frozen=True)
class DigitSet:
    """Single digits, bright on black.

    Attributes:
        images: (M, 28, 28) uint8.
        labels: (M,) uint8, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        """The fingerprint of images and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)


def load_digits(source: Source, split: Split, mnist_dir: Path | None) -> DigitSet:
    """Load the digits of one split; no digit is in two splits.

    "validation" has the last sixth of the digits that the source itself calls training digits, "train" the others.

    Args:
        mnist_dir: the folder with MNIST's original files; None downloads them; "uci" does not use it.

    Raises:
        InputError: if the files are missing or damaged, too few to be split, or scikit-learn is not installed.
    """
    part = _part(split)
    found = _uci(part) if source == "uci" else _mnist(part, mnist_dir)
    if split == "test":
        return found
    border = len(found) - len(found) // _KEPT_BACK
    if border == len(found):
        raise InputError(f"{source}: {len(found)} training digits are too few to keep some back for validation")
    chosen = slice(0, border) if split == "train" else slice(border, None)
    return DigitSet(found.images[chosen], found.labels[chosen])


def is_original_mnist(split: Split, mnist_dir: Path) -> bool:
    """Tell whether a folder's files of a split are MNIST's own. Raises InputError if they cannot be read."""
    return all(hashlib.sha256(read_file(name, mnist_dir)).hexdigest() == SHA256[name] for name in FILES[_part(split)])


def _part(split: Split) -> _Part:
    return "test" if split == "test" else "train"


def _mnist(part: _Part, folder: Path | None) -> DigitSet:
    names = FILES[part]
    images = parse_idx(read_file(names[0], folder), 3, names[0])
    labels = parse_idx(read_file(names[1], folder), 1, names[1])
    if images.shape[1:] != (SIDE_PX, SIDE_PX) or not 0 < len(images) == len(labels) or labels.max() > 9:
        raise InputError(
            f"{names[0]}: {images.shape} images and {labels.shape} labels are not digits of {SIDE_PX}x{SIDE_PX} pixels"
        )
    if not images.any(axis=(1, 2)).all():
        raise InputError(f"{names[0]}: image {int(images.any(axis=(1, 2)).argmin())} is empty")
    return DigitSet(images, labels)


def _uci(part: _Part) -> DigitSet:
    try:
        from sklearn.datasets import load_digits as load_uci
    except ModuleNotFoundError:
        raise InputError("--source uci needs scikit-learn: pip install 'air3d[digits]'") from None
    pixels, labels = load_uci(return_X_y=True)
    chosen = slice(0, _UCI_TRAIN) if part == "train" else slice(_UCI_TRAIN, None)
    small = np.rint(pixels[chosen].reshape(-1, 8, 8) * (255.0 / _UCI_LEVELS)).astype(np.uint8)
    margin = (SIDE_PX - _INK_PX) // 2
    images = np.zeros((len(small), SIDE_PX, SIDE_PX), dtype=np.uint8)
    images[:, margin:-margin, margin:-margin] = [resized(digit, _INK_PX, Image.Resampling.BICUBIC) for digit in small]
    return DigitSet(images, labels[chosen].astype(np.uint8))


def resized(
    image: NDArray[np.uint8], side_px: int, filter_: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.uint8]:
    """Resize a square image (S, S) uint8; to shrink it, pixels are averaged, not sampled."""
    return np.asarray(Image.fromarray(image).resize((side_px, side_px), filter_))
