"""Single digits: what the UCI set is known to hold; what files MNIST's reader refuses."""

from __future__ import annotations

import numpy as np
import pytest

from air3d.datasets.digits.sources import load_digits
from air3d.scene3d.errors import InputError


def test_mnist_files(mnist_dir, made_up):
    """Of 40 training digits the last six are kept back for validation; the test digits are those of the test files."""
    (train, train_labels), (test, test_labels) = made_up["train"], made_up["test"]
    for split, images, labels in (
        ("train", train[:34], train_labels[:34]),
        ("validation", train[34:], train_labels[34:]),
        ("test", test, test_labels),
    ):
        found = load_digits("mnist", split, mnist_dir)
        assert np.array_equal(found.images, images) and np.array_equal(found.labels, labels)


@pytest.mark.parametrize("source", ["mnist", "uci"])
def test_no_digit_is_in_two_splits(source, mnist_dir):
    """MNIST's made-up digits are all different; of UCI's, two written alike would be one too many as well."""
    seen: set[bytes] = set()
    for split in ("train", "validation", "test"):
        digits = {image.tobytes() for image in load_digits(source, split, mnist_dir).images}
        assert digits and not digits & seen
        seen |= digits


def test_too_few_digits_are_not_split(write_mnist, tmp_path):
    write_mnist(tmp_path, "train", np.ones((5, 28, 28)), np.arange(5))
    with pytest.raises(InputError, match="5 training digits are too few"):
        load_digits("mnist", "train", tmp_path)


def test_uci_is_the_published_set():
    splits = [load_digits("uci", split, None) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [1437 - 239, 239, 360]
    train = splits[0]
    # Class sizes as scikit-learn's user guide and the UCI repository state them for the 1,797 images.
    together = np.concatenate([split.labels for split in splits])
    assert np.bincount(together).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert train.images.shape[1:] == (28, 28) and train.images.dtype == np.uint8
    assert train.images.max(axis=(1, 2)).min() > 200, "every digit has bright ink"
    assert not train.images[:, :4].any() and not train.images[:, :, -4:].any(), "a margin as MNIST's"
    ink = (train.images > 0).any(axis=2).sum(axis=1)
    assert abs(np.median(ink) - 20) <= 1, "as tall as MNIST's"


def test_enlarged_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits as load_uci

    found, raw = load_digits("uci", "test", None), load_uci().images[1437:]
    centres = 4 + np.floor((np.arange(8) + 0.5) * 2.5).astype(int)
    sampled = found.images[:, centres][:, :, centres] / 255.0
    assert np.corrcoef(sampled.ravel(), raw.ravel())[0, 1] > 0.97
    worst = np.corrcoef(sampled[:, ::-1].ravel(), raw.ravel())[0, 1]
    assert worst < 0.9, "the comparison would notice a flip"


@pytest.mark.parametrize(
    "images, labels",
    [
        (np.ones((3, 20, 20)), np.zeros(3)),
        (np.ones((3, 28, 28)), np.zeros(4)),
        (np.ones((3, 28, 28)), np.full(3, 10)),
        (np.zeros((0, 28, 28)), np.zeros(0)),
        (np.stack([np.ones((28, 28)), np.zeros((28, 28))]), np.zeros(2)),
    ],
)
def test_files_of_something_else_are_refused(write_mnist, tmp_path, images, labels):
    write_mnist(tmp_path, "train", images, labels)
    with pytest.raises(InputError, match="train-images-idx3-ubyte"):
        load_digits("mnist", "train", tmp_path)
