"""Models of the 2D track on disk, and the shipped weights, on digits of another origin than those they learned from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from air3d.cli.main import main
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.store import load_digits_model, make_model, save_digits_model
from air3d.networks.folder import track_of
from air3d.scene3d.assets import asset_path
from air3d.scene3d.errors import InputError
from air3d.scenes.store import load_model

DRAW = DrawConfig(12, steps=3, hidden=10, code=4, read=4, write=3)
CAE = CaeConfig(12, channels=(4, 6), code=5)


def test_stored_models(small, tmp_path):
    for name, network in (("air", small), ("dair", small), ("draw", DRAW), ("cae", CAE)):
        model = make_model(name, network, seed=1)
        save_digits_model(tmp_path / name, model, {})
        assert track_of(str(tmp_path / name)) == "multi-mnist"
        again = load_digits_model(str(tmp_path / name)).model
        assert type(again) is type(model) and again.config == network
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with pytest.raises(InputError, match="a model of single-object or tabletop is needed"):
        load_model(str(tmp_path / "air"))
    path = tmp_path / "air" / "config.json"
    text = path.read_text()
    for change, words in (('"model": "vae"', "model is 'vae'"), ('"model": "cae"', "network")):
        path.write_text(text.replace('"model": "air"', change))
        with pytest.raises(InputError, match=words):
            load_digits_model(str(tmp_path / "air"))
    path.write_text(text)
    (tmp_path / "air" / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        load_digits_model(str(tmp_path / "air"))


def test_the_shipped_weights_count_digits_that_they_have_not_seen(tmp_path: Path) -> None:
    """UCI's digits: other writers, another scanner, eight pixels enlarged to MNIST's size."""
    pytest.importorskip("sklearn", reason="scikit-learn brings the digits: pip install 'air3d[digits]'")
    data, found = tmp_path / "uci", tmp_path / "metrics.json"
    assert main(["generate", "digits", str(data), "--num", "200", "--source", "uci", "--seed", "31", "--quiet"]) == 0
    assert main(["evaluate", "multi-mnist", "--data", str(data), "--json", str(found), "--quiet"]) == 0
    assert json.loads(found.read_text())["count_accuracy"] >= 0.97


def test_the_shipped_weights_are_as_small_as_promised() -> None:
    assert asset_path("weights", "multi-mnist", "weights.safetensors").stat().st_size <= 5_000_000
