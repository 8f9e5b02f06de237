"""Composed images: exactly the digits that the labels name, where they say; distributions as documented."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from air3d.datasets.digits.compose import compose
from air3d.scene3d.errors import InputError


def pasted(config, source, composite):
    """The image again, from the labels alone."""
    size, margin = config.canvas, 64
    total = np.zeros((size + 2 * margin, size + 2 * margin), dtype=np.int64)
    for item in composite.digits:
        patch = Image.fromarray(source.images[item.source_index]).resize((item.size_px,) * 2, Image.Resampling.BILINEAR)
        y, x = item.top + margin, item.left + margin
        total[y : y + item.size_px, x : x + item.size_px] += np.asarray(patch)
    assert total.sum() == total[margin:-margin, margin:-margin].sum(), "no ink is cut off"
    return total[margin:-margin, margin:-margin]


@pytest.mark.parametrize("preset", ["paper", "pyro"])
def test_labels_make_the_image(make_config, digit_set, preset):
    config = make_config(preset, counts=(0, 1, 2, 3))
    for index in range(60):
        made = compose(config, digit_set, index)
        again = pasted(config, digit_set, made)
        assert again.max(initial=0) <= 255
        assert (made.image == again).all()
        for item in made.digits:
            assert item.digit == digit_set.labels[item.source_index]
            x0, y0, x1, y1 = item.box
            ink = made.image[y0:y1, x0:x1] > 0
            if preset == "paper":
                assert item.size_px == 28
                assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any(), "boxes are tight"
            else:
                assert 0 <= item.left and item.left + item.size_px <= 50 and 0 <= item.top


def test_boxes_do_not_overlap(make_config, digit_set):
    config = make_config(counts=(3,))
    for index in range(60):
        covered = np.zeros((50, 50), dtype=np.int64)
        for item in compose(config, digit_set, index).digits:
            x0, y0, x1, y1 = item.box
            covered[y0:y1, x0:x1] += 1
        assert covered.max() == 1


def test_an_image_depends_on_seed_and_index_alone(make_config, digit_set):
    short, long = make_config(num=3), make_config(num=10**6, scenes_per_shard=99)
    for index in (0, 2):
        a, b = compose(short, digit_set, index), compose(long, digit_set, index)
        assert (a.image == b.image).all() and a.digits == b.digits
    other = make_config(seed=1)
    assert any(compose(other, digit_set, i).digits != compose(short, digit_set, i).digits for i in range(5))


def test_counts_digits_and_places_are_uniform(make_config, digit_set, fits):
    config = make_config(counts=(1, 0, 4), canvas=160)
    made = [compose(config, digit_set, index) for index in range(1500)]
    counts = np.bincount([len(item.digits) for item in made], minlength=5)
    assert counts[2] == counts[3] == 0
    fits(stats.chisquare(counts[[0, 1, 4]]).pvalue, "counts")
    digits = [item for image in made for item in image.digits]
    drawn = np.bincount([d.source_index for d in digits], minlength=len(digit_set.images))
    fits(stats.chisquare(drawn).pvalue, "digits")
    alone = [image.digits[0] for image in made if len(image.digits) == 1]
    for axis, name in ((0, "columns"), (1, "rows")):
        # Jittered within its pixel, the box's place among the allowed ones is uniform on [0, 1).
        rng = np.random.default_rng(axis)
        share = [(d.box[axis] + rng.random()) / (160 - (d.box[axis + 2] - d.box[axis]) + 1) for d in alone]
        fits(stats.kstest(share, "uniform").pvalue, f"places in {name}")


@pytest.mark.parametrize("preset", ["paper", "pyro"])
def test_every_edge_is_reached(make_config, digit_set, preset):
    """Of at most 29 places in a row, the first and the last are missed by 800 draws once in 10^12 seeds."""
    config = make_config(preset, counts=(1,), canvas=28)
    made = [compose(config, digit_set, index).digits[0] for index in range(800)]
    if preset == "paper":
        edges = [(d.box[0], d.box[1], d.box[2], d.box[3]) for d in made]
    else:
        edges = [(d.left, d.top, d.left + d.size_px, d.top + d.size_px) for d in made]
    low, high = np.min(edges, axis=0)[:2], np.max(edges, axis=0)[2:]
    assert low.tolist() == [0, 0] and high.tolist() == [28, 28]


def test_sizes_follow_pyro(make_config, digit_set, fits):
    config = make_config("pyro", counts=(1,), canvas=90)
    sizes = [compose(config, digit_set, index).digits[0].size_px for index in range(800)]
    # int(28 / s) = k where 28 / (k + 1) < s <= 28 / k, s normal.
    edges = np.arange(17, 30)
    upper, lower = stats.norm.cdf(28 / edges, 1.3, 0.1), stats.norm.cdf(28 / (edges + 1), 1.3, 0.1)
    inner = upper - lower
    expected = np.array([1 - upper[0], *inner, lower[-1]])
    found = np.array([np.sum(np.array(sizes) < 17), *(sizes.count(k) for k in edges), np.sum(np.array(sizes) > 29)])
    fits(stats.chisquare(found, expected * len(sizes)).pvalue, "sizes")


def test_too_many_digits_are_refused(make_config, digit_set):
    with pytest.raises(InputError, match=r"image 0: 16 digits do not fit onto 28x28 pixels; use fewer --counts"):
        compose(make_config(counts=(16,), canvas=28), digit_set, 0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"counts": ()}, "counts"),
        ({"counts": (1, 1)}, "different numbers"),
        ({"counts": (-1,)}, "between 0 and 16"),
        ({"canvas": 27}, "digits of 28 pixels need at least as many"),
        ({"num": 0}, "num is 0"),
        ({"seed": True}, "seed is True"),
        ({"shrink_std": -1.0}, "shrink_std"),
    ],
)
def test_bad_settings_are_refused(make_config, change, words):
    with pytest.raises(InputError, match=words):
        make_config(**change)
