"""What another library has changed in torch changes neither answers nor training: all numbers are the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import air3d
from air3d.cli.main import main
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.scene import Scene

ROOT = Path(__file__).parents[3]
SLEEP = (
    "train tabletop --run {run} --kinds mug bowl --max-objects 2 --train.phase sleep --train.iterations 2 "
    "--train.batch 3 --train.guide.image-size 16 --train.guide.camera-widths 4 6 8 --train.guide.camera-code 8 "
    "--train.guide.widths 4 6 8 --train.guide.head 8 --train.guide.window 8 --train.guide.glimpse 8 "
    "--film-every 0 --renderer analytic --device cpu --quiet"
)


@contextlib.contextmanager
def dtype(wanted: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(wanted)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "float64": lambda: dtype(torch.float64),
    "bfloat16": lambda: dtype(torch.bfloat16),
    "device": device,
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "deterministic": deterministic,
}


@pytest.fixture(scope="module", autouse=True)
def few_dreams() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("air3d.training.scenes._MEAN_DREAMS", 8)
        yield


def learn(run: Path) -> str:
    assert main(SLEEP.format(run=run).split()) == 0
    return hashlib.sha256((run / "model" / "weights.safetensors").read_bytes()).hexdigest()


def explain(name: str) -> list[Scene]:
    model = air3d.load(name)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.image_size, 3), np.uint8)
    return air3d.infer(model, images, renderer="analytic" if Path(name).exists() else "raster")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Scene], list[Scene]]:
    run = tmp_path_factory.mktemp("plain") / "run"
    return run, learn(run), explain(str(run)), explain("single-object")


@pytest.mark.parametrize("setting", SETTINGS)
def test_loading_inferring_and_training_are_what_they_were(
    setting: str, expected: tuple[Path, str, list[Scene], list[Scene]], tmp_path: Path
) -> None:
    run, digest, scenes, single = expected
    with SETTINGS[setting]():
        before = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
        assert explain(str(run)) == scenes
        assert explain("single-object") == single
        assert learn(tmp_path / "run") == digest
        assert before == (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())


def in_fresh_python(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


BUSY = """
import os, torch
os.getloadavg = lambda: (1.0, 1.0, 1.0)
torch.set_num_threads({threads})
from air3d.networks.plain_torch import plain_torch
for _ in range(2):
    with plain_torch():
        pass
"""


def test_torchs_threads_wait_quietly_or_it_is_said_once() -> None:
    """OpenMP reads the variable when torch is loaded, so it has to be there before."""
    assert in_fresh_python("import air3d, os; print(os.environ['OMP_WAIT_POLICY'])") == "PASSIVE\n"
    assert in_fresh_python("import air3d" + BUSY.format(threads=2)) == ""
    assert in_fresh_python(BUSY.format(threads=1)) == ""
    said = in_fresh_python(BUSY.format(threads=2))
    assert said.count("OMP_WAIT_POLICY=PASSIVE") == 1 and "2 threads" in said


def test_a_model_that_was_loaded_in_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        model = air3d.load("single-object")
    assert not any(parameter.is_inference() for parameter in model.guide.parameters())
    with plain_torch():
        assert torch.zeros(1).dtype == torch.float32
