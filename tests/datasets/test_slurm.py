"""The job array of docs/slurm, with the environment that Slurm gives its tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from air3d.cli.main import main

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "slurm" / "generate.sbatch"
SETTINGS = {"NUM": "70", "SEED": "3", "RENDERER": "analytic", "OPTIONS": "--size 32 --scenes-per-shard 8 --quiet"}


@pytest.fixture
def task(tmp_path):
    """task(i, count): start task i of an array of `count`; None leaves the environment of an array out."""
    program = tmp_path / "air3d"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m air3d "$@"\n')
    program.chmod(0o755)

    def start(i, count=3, **changes):
        array = {
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": str(i),
            "SLURM_ARRAY_TASK_COUNT": str(count),  # of what was submitted now, which is not PARTS after a failure
            "SLURM_CPUS_PER_TASK": "1",
        }
        own = {"PYTHONPATH": str(ROOT), "AIR3D": str(program), "OUT": str(tmp_path / "d"), "PARTS": "3"}
        given = {**os.environ, **SETTINGS, **own, **({} if i is None else array), **changes}
        return subprocess.Popen(["bash", str(SCRIPT)], env=given, stderr=subprocess.PIPE, text=True)

    return start


def finish(process):
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_an_array_makes_what_one_process_makes(task, tmp_path, digests):
    tasks = [task(i) for i in range(3)]  # all at once, in one folder
    assert [finish(process) for process in tasks] == [(0, "")] * 3
    out = tmp_path / "one"
    settings = f"--num 70 --seed 3 --renderer analytic {SETTINGS['OPTIONS']}"
    assert main(["generate", "tabletop", str(out), *settings.split()]) == 0
    assert digests(tmp_path / "d") == digests(out)
    # A task that was lost with its shards, submitted again by itself.
    for path in (tmp_path / "d").glob("shard-000004.*"):
        path.unlink()
    assert finish(task(1, count=1)) == (0, "")
    assert digests(tmp_path / "d") == digests(out)


@pytest.mark.parametrize(
    "i, changes, words",
    [
        (None, {}, "--array"),
        (3, {}, "i from 0 to n-1"),
        (0, {"NUM": ""}, "number of scenes"),
        (0, {"PARTS": ""}, "PARTS"),
    ],
)
def test_what_is_forgotten_is_named(task, tmp_path, i, changes, words):
    code, errors = finish(task(i, **changes))
    assert code != 0 and words in errors and "Traceback" not in errors
    assert not (tmp_path / "d").exists()
