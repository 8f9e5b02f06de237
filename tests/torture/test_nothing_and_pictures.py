"""Nothing of something, and pictures of every form: an answer of the right shape, or a refusal in one line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import air3d
from air3d.cli.main import main
from air3d.datasets.pictures import as_pictures
from air3d.evaluation.evaluate import answer_metrics
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene, SceneObject
from tests.colour_profiles import ADOBE, P3, PROPHOTO

CASES = 100
often = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))

objects = st.builds(SceneObject.upright, st.sampled_from(list(CATALOG)), st.just(0.1), st.just(0.0))
scenes = st.builds(Scene, st.lists(objects, max_size=2).map(tuple))


@often
@given(st.lists(scenes, max_size=2), st.data())
def _little(made: list[Scene], data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 2, 16, (1, 3)]))
    height, width = size if isinstance(size, tuple) else (size, size)
    images = air3d.render(made, size, renderer=data.draw(st.sampled_from(["raster", "analytic"])))
    assert images.shape == (len(made), height, width, 3) and images.dtype == np.uint8
    truth = SceneBatch.from_scenes(made, tuple(CATALOG))
    found = data.draw(st.lists(scenes, min_size=len(made), max_size=len(made)))
    inferred = SceneBatch.from_scenes(found, tuple(CATALOG), data.draw(st.integers(2, 3)))
    json.dumps(answer_metrics(images, truth, inferred, images), allow_nan=False)
    assert truth.to_scenes() == made


def test_nothing_of_something(tried: Any) -> None:
    _little()
    tried("0 to 2 scenes of 0 to 2 objects: rendered, measured", CASES)


def test_datasets_of_empty_tables(tmp_path: Path, tried: Any) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    # Not one object in any scene, though the model knows of up to three.
    seeds = [seed for seed in range(40) if not air3d.generate(1, seed)[0].objects][:2]
    lines = []
    for seed in seeds:
        data, out = tmp_path / f"data{seed}", tmp_path / f"out{seed}"
        lines += [
            f"generate tabletop {data} --num 1 --seed {seed} --workers 1 --quiet",
            f"inspect {data}",
            f"evaluate tabletop --data {data} --json {out}/a.json --report {out}/a.html --quiet",
            f"export bop {data} {out}/bop --quiet",
            f"export coco {data} {out}/coco --quiet",
            f"export bop-results tabletop {data} {out}/a.csv --quiet",
        ]
    for line in lines:
        assert main(line.split()) == 0, line

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)
    for line in (f"infer tabletop {folder} --out {tmp_path}/o", f"generate tabletop {tmp_path}/x --num 0 --seed 0"):
        assert main(line.split()) == 2, line
    tried("commands on empty tables, empty folders, no scenes", len(lines) + 2)


FORMS: dict[str, Callable[[np.ndarray], object]] = {
    "array": lambda p: p,
    "fractions": lambda p: (p / 255.0).astype(np.float32),
    "16 bits": lambda p: p.astype(np.uint16) * 257,
    "integers": lambda p: p.astype(np.int64),
    "tensor": lambda p: torch.from_numpy(p.copy()),
    "opaque": lambda p: np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]),
    "Pillow": Image.fromarray,
    **{form: lambda p, form=form: _file(Image.fromarray(p), form) for form in ("PNG", "TIFF", "BMP", "PPM")},
    "WEBP": lambda p: _file(Image.fromarray(p), "WEBP", lossless=True),
    "turned": lambda p: _turned(p),
}
PROFILES = {"Adobe RGB": ADOBE, "P3": P3, "ProPhoto": PROPHOTO}


def _file(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _turned(pixels: np.ndarray) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise to be upright
    return _file(Image.fromarray(np.rot90(pixels).copy()), "PNG", exif=exif)


@often
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(list(FORMS)), min_size=1, max_size=3), st.integers(1, 40))
def _same(seed: int, forms: list[str], side: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = as_pictures([FORMS[form](pixels) for form in forms], side)
    assert (found == pixels).all(), forms


@often
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(PROFILES)))
def _converted(seed: int, name: str) -> None:
    # Not near the edge of the gamut, where eight bits of a wide space are coarse.
    pixels = np.random.default_rng(seed).integers(60, 200, (8, 8, 3), dtype=np.uint8)
    wide = ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[name]))
    other = ImageCms.profileToProfile(Image.fromarray(pixels), ImageCms.createProfile("sRGB"), wide)
    assert other is not None
    (found,) = as_pictures(_file(other, "PNG", icc_profile=PROFILES[name]), 8)
    assert np.abs(found.astype(int) - pixels).mean() < 1.5, name


@often
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=20)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
)
def _refused(value: object) -> None:
    try:
        said = ""
        assert as_pictures(value, 8).shape[1:] == (8, 8, 3)
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_pictures_of_every_form(tried: Any) -> None:
    _same()
    tried("pictures: one to three forms of the same", CASES)
    _converted()
    tried("pictures: colour profiles", CASES)
    _refused()
    tried("pictures: what is none", CASES)
