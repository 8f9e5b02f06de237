"""Two processes of torchrun learn what one process learns, and what a killed one has lost is made up for."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from air3d.cli.main import main
from air3d.training.run_folder import read_log

ROOT = Path(__file__).parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ITERATIONS = 30

# Every training, small: name, module, and what its `train` is called with. Weights are those of a model folder.
TRAININGS = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from air3d.digits.latents import AirConfig
from air3d.networks.encoder import EncoderConfig
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.learner import EstimatorConfig
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.wake_config import WakeConfig
from air3d.digits import train as digits
from air3d.training import scenes as training
from air3d.training.config import TrainConfig
from air3d.digits.train import DigitsRunConfig, DigitsTrainConfig
from air3d.training.processes import processes
from air3d.training.run_folder import RunFolder
from air3d.training.config import TabletopTrainConfig
from air3d.renderers.choice import make_renderer
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import ScenePrior

out, iterations = Path(sys.argv[1]), int(sys.argv[2])
how = {"iterations": iterations, "batch": 8, "seed": 3}
for module in (digits, single, tabletop):
    module.LOG_EVERY = 1
training._MEAN_DREAMS = 16


def quiet(record):
    pass


def seen(prior, render_config):
    with make_renderer(render_config, "analytic") as renderer:
        return renderer.render(ScenePrior(prior).sample_batch(np.random.default_rng(0), 40))


with processes() as joined:
    def folder(name, config):
        return RunFolder(out / name, config, {}) if joined.first else None

    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8))
    network = AirConfig(12, window=5, hidden=16, head=12, what=4, codec=10)
    for estimator in ("exact", "nvil"):
        config = DigitsRunConfig("air", network, DigitsTrainConfig(estimator=estimator, shares=4, **how))
        run = folder(f"digits {estimator}", config)
        digits.train(digits.new_model(config, images), images, config.train, run, {}, quiet, joined)

    prior = single_prior()
    encoder = EncoderConfig(32, (8, 16), 32)
    small = OneLookConfig(encoder, hidden=32, head=32, yaw_components=8, window=12, glimpse=16)
    for estimator in ("lr-nvil", "mixture"):
        config = TrainConfig(estimator=EstimatorConfig(estimator, samples=4), shares=2, guide=small, **how)
        pictures = seen(prior, SceneModel.of(prior, config.guide, config.likelihood).render_config)
        model = training.new_model(config, prior, pictures)
        with make_renderer(model.render_config, "analytic") as renderer:
            run = folder(f"single {estimator}", config)
            training.train(model, pictures, renderer, config, run, {}, quiet, processes=joined)

    prior = tabletop_prior(("mug", "plate"), 0, 2, True, False)
    wake = WakeConfig(candidates=3, own=2, cameras=2, prior_cameras=3, camera_only=4)
    sizes = {"camera_widths": (4, 6, 8), "camera_code": 16, "widths": (6, 8, 10), "head": 12, "window": 10}
    guide = StepGuideConfig(image_size=16, glimpse=8, azimuth_components=5, yaw_components=4, **sizes)
    for phase, dreams in (("sleep", 0), ("wake", 4), ("tune", 4)):
        config = TabletopTrainConfig(phase=phase, warm_up=2, guide=guide, dreams=dreams, wake=wake, shares=2, **how)
        if phase == "wake":
            config = replace(config, wake=replace(wake, cold=0.5, remembered=4, visits=2))
        model = training.new_model(config, prior)
        pictures = None if phase == "sleep" else seen(prior, model.render_config)
        with make_renderer(model.render_config, "analytic") as renderer:
            run = folder(f"tabletop {phase}", config)
            training.train(model, pictures, renderer, config, run, {}, quiet, processes=joined)
"""


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def numbers(record: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in record.items() if isinstance(value, int | float)}


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Logs and weights of every training.

    Two processes with one share each add up the same two numbers as one process does, so nothing may differ but by
    what their libraries do; with two shares each (digits) sums of floats come in another order.
    """
    script = tmp_path / "trainings.py"
    script.write_text(TRAININGS)
    arguments = [str(ITERATIONS)]
    alone = [sys.executable, str(script), str(tmp_path / "one"), *arguments]
    together = [*TORCHRUN, str(script), str(tmp_path / "two"), *arguments]
    for command in (alone, together):
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, done.stderr[-2000:]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 7
    for name in names:
        one, two = (read_log(tmp_path / folder / name) for folder in ("one", "two"))
        assert [record["iteration"] for record in one] == list(range(1, ITERATIONS + 1))
        for a, b in zip(one, two, strict=True):
            assert numbers(b) == pytest.approx(numbers(a), rel=1e-5, abs=1e-5), name
        weights = [load_file(tmp_path / folder / name / "model" / "weights.safetensors") for folder in ("one", "two")]
        assert weights[0].keys() == weights[1].keys()
        for key, value in weights[0].items():
            assert float((value - weights[1][key]).abs().max()) < 1e-6, (name, key)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "single"
    settings = "--num 40 --seed 0 --size 32 --renderer analytic --workers 1 --quiet"
    assert main(["generate", "single", str(folder), *settings.split()]) == 0
    return folder


def command(scenes: Path, run: Path, *more: str) -> list[str]:
    how = "--renderer analytic --quiet --train.iterations 120 --train.batch 4 --train.shares 2"
    small = "--train.guide.encoder.image-size 32 --train.estimator.samples 4"
    # "--": torchrun would take --run for one of its own options.
    fixed = f"-m -- air3d train single --data {scenes} --run {run} {how} {small}"
    return [*fixed.split(), *more]


@pytest.mark.slow
def test_shares_that_do_not_fit_are_refused_in_one_line(scenes: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*TORCHRUN, *command(scenes, tmp_path / "run", "--train.shares", "1")],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "air3d: error" in line]
    assert lines and all("2 processes cannot divide shares 1" in line for line in lines)
    assert not (tmp_path / "run").exists(), "nothing is written"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_costs_only_time(scenes: Path, tmp_path: Path, victim: int) -> None:
    """Killed after the checkpoint at 50: all start again from there, and end with the weights of a run in peace."""
    peace, run = tmp_path / "peace", tmp_path / "run"
    alone = [word for word in command(scenes, peace) if word != "--"]
    subprocess.run([sys.executable, *alone], cwd=ROOT, env=environment(), check=True, timeout=1800)
    restarts = [*TORCHRUN, "--max-restarts", "2", "--monitor-interval", "0.2"]
    with subprocess.Popen(
        [*restarts, *command(scenes, run)], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 1800.0
        while not (run / "checkpoint.safetensors").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        ranks = {}
        for child in psutil.Process(process.pid).children():
            ranks[int(child.environ()["RANK"])] = child
        assert sorted(ranks) == [0, 1]
        ranks[victim].send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, [line for line in errors.splitlines() if "air3d" in line]
    assert re.search("resuming after (50|100) iterations", errors)
    assert json.dumps(read_log(run)) == json.dumps(read_log(peace))
    one, two = (load_file(folder / "model" / "weights.safetensors") for folder in (peace, run))
    assert all(float((value - two[key]).abs().max()) < 1e-5 for key, value in one.items())
    assert not list(run.glob(".*.tmp"))
