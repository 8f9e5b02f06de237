"""Each estimator brings its own schedule, what is typed wins, and the run keeps what was used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from air3d.cli.main import main
from air3d.scene3d.config_json import config_from_dict
from air3d.scenes.learner import EstimatorConfig, EstimatorName
from air3d.scenes.recommended import recommended
from air3d.scenes.schedule import CoarseToFine
from air3d.training.config import TrainConfig
from air3d.training.run_folder import read_log

NAMES = get_args(EstimatorName)
# As docs/estimators.md states them: rule, start, end, blur at the start in pixels of a 64-pixel image.
WARM, SHARP, SIGMA = ("spread", 0.5, 6.0, 12.0), ("spread", 3.0, 10.0, 12.0), ("sigma", 1.2, 0.3, 0.0)
STATED = dict.fromkeys(NAMES, WARM) | {"rws": SHARP, "vimco": SHARP, "mixture": SIGMA}
TINY = (
    "train single --data {data} --run {run} --renderer analytic --quiet --train.iterations 1 --train.batch 2 "
    "--train.guide.encoder.image-size 32 --train.guide.encoder.channels 8 16 --train.guide.encoder.code 32 "
    "--train.guide.hidden 32 --train.guide.window 12"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    line = f"generate single {folder} --num 4 --seed 0 --size 32 --workers 1 --renderer analytic --quiet"
    assert main(line.split()) == 0
    return folder


def train(data: Path, run: Path, typed: str) -> int:
    return main([*TINY.format(data=data, run=run).split(), *typed.split()])


def trained(data: Path, run: Path, typed: str = "") -> dict[str, Any]:
    """The configuration that `air3d train single` saved with the run."""
    assert train(data, run, typed) == 0
    saved = json.loads((run / "run.json").read_text())["train"]
    assert isinstance(saved, dict)
    return saved


def stated(schedule: dict[str, Any]) -> tuple[str, float, float, float]:
    rule = schedule["temperature"]
    return rule, schedule[f"{rule}_start"], schedule[f"{rule}_end"], schedule["blur_px"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_alone_brings_its_schedule(data: Path, tmp_path: Path, name: EstimatorName) -> None:
    saved = trained(data, tmp_path / "run", f"--train.estimator.name {name}")
    assert saved["estimator"]["name"] == name
    assert saved["estimator"]["samples"] == (2 if name == "fd" else 16), "fd: 14 renders an image, the others 16"
    assert stated(saved["schedule"]) == STATED[name]
    # It is what the first step was made with: the blur is of 32-pixel pictures.
    assert read_log(tmp_path / "run")[0]["blur_px"] == STATED[name][3] / 2
    assert config_from_dict(TrainConfig, saved, "run.json").schedule == recommended(name).schedule


def test_without_a_name_it_is_the_default_estimators(data: Path, tmp_path: Path) -> None:
    saved = trained(data, tmp_path / "run")
    assert saved["estimator"]["name"] == "rws"
    assert stated(saved["schedule"]) == STATED["rws"]


def test_what_is_typed_wins(data: Path, tmp_path: Path) -> None:
    typed = "--train.schedule.spread-start 0.5 --train.estimator.samples 5 --train.schedule.blur-px 4"
    saved = trained(data, tmp_path / "before", f"{typed} --train.estimator.name=rws")
    # 0.5 is also what other estimators start from: typed, it is not mistaken for "nothing was said".
    assert stated(saved["schedule"]) == ("spread", 0.5, 10.0, 4.0)
    assert saved["estimator"]["samples"] == 5
    assert trained(data, tmp_path / "after", f"--train.estimator.name rws {typed}") == saved
    saved = trained(data, tmp_path / "fd", "--train.estimator.name fd --train.estimator.samples 3")
    assert (saved["estimator"]["samples"], stated(saved["schedule"])) == (3, WARM)


def test_a_run_resumes_with_the_schedule_it_has(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, mixture = tmp_path / "run", "--train.estimator.name mixture"
    assert train(data, run, mixture) == 0
    capsys.readouterr()
    assert train(data, run, mixture) == 0
    assert "resuming after 1 iterations" in capsys.readouterr().err
    # The same schedule spelt out is the same run; another one is refused by name.
    same = "--train.schedule.temperature sigma --train.schedule.sigma-start 1.2 --train.schedule.blur-px 0"
    assert train(data, run, f"{mixture} {same}") == 0
    assert train(data, run, f"{mixture} --train.schedule.sigma-start 1.5") == 2
    assert "train.schedule.sigma_start 1.2, not 1.5" in capsys.readouterr().err
    assert train(data, run, "") == 2
    assert "'mixture', not 'rws'" in capsys.readouterr().err


def test_a_wrong_name_is_a_usage_error(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in ("--train.estimator.name reinforce", "--train.estimator.name"):
        assert train(data, tmp_path / "run", typed) == 2
        assert "--train.estimator.name" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_shows_the_named_estimators_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "single", "--train.estimator.name", "vimco", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "first target of rule `spread`, nats. (default: 3.0)" in shown


def test_from_python(tmp_path: Path) -> None:
    for name in NAMES:
        assert TrainConfig(estimator=EstimatorConfig(name)).schedule == recommended(name).schedule
    given = CoarseToFine(spread_start=2.0)
    assert TrainConfig(estimator=EstimatorConfig("mixture"), schedule=given).schedule == given
    assert TrainConfig() == TrainConfig(estimator=EstimatorConfig("rws"))
