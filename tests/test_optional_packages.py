"""What is no required dependency is not missed: the commands run with such packages hidden."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Not required, or required for one thing alone: cma for `--refine`, matplotlib for reports and charts.
HIDDEN = (
    "cma", "av", "matplotlib", "psutil", "ray", "sklearn", "stable_baselines3", "tensorboard",
    "trimesh", "viser", "warp", "mujoco_warp", "webdataset", "hypothesis", "arviz", "h5netcdf", "h5py", "xarray",
)  # fmt: skip

BLOCKED = """
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden!r} else self.finder.find_spec(name, path, target)
sys.meta_path = [Hiding(finder) for finder in sys.meta_path]
import air3d
from air3d.cli.main import main
for line in {lines!r}:
    assert main(line) == 0, line
print("all ran")
"""

DATA = "--num 4 --seed 0 --renderer analytic --workers 1 --quiet"


def run(*lines: str) -> str:
    code = BLOCKED.format(hidden=set(HIDDEN), lines=[line.split() for line in lines])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scenes_need_no_optional_package(tmp_path: Path) -> None:
    printed = run(
        "--help", "--version", "doctor --help", f"generate single {tmp_path}/d {DATA}", f"inspect {tmp_path}/d"
    )  # fmt: skip
    assert printed.endswith("all ran\n")


@pytest.mark.torture
def test_learning_and_inferring_need_none_either(tmp_path: Path) -> None:
    small = "--renderer analytic --quiet --train.iterations 2 --train.batch 3"
    printed = run(
        f"generate single {tmp_path}/d {DATA}",
        f"train single --data {tmp_path}/d --run {tmp_path}/run {small} --train.estimator.samples 2",
        f"train tabletop --run {tmp_path}/t --train.phase sleep --kinds mug --max-objects 1 {small}",
        f"evaluate {tmp_path}/run --data {tmp_path}/d --renderer analytic --quiet",
        f"infer single-object {ROOT}/assets/textures --out {tmp_path}/out --renderer analytic",
    )
    assert printed.endswith("all ran\n")


def test_no_package_is_both_required_and_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~;\[ ]", requirement)[0].lower() for requirement in requirements}

    required = names(project["dependencies"])
    extras = {name: names(group) for name, group in project["optional-dependencies"].items() if name != "dev"}
    for name, group in extras.items():
        assert not group & required, f"extra {name}"
