"""Signals at random moments, streams that are closed, and users who may write nowhere: the same bytes, or one line."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROUNDS = 4
NOBODY = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
READS = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # wherever Python itself may lie


@pytest.mark.parametrize("what", ["generate", "single", "sleep"])
def test_signals_at_random_moments(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, what: str, tried: Any
) -> None:
    quick = "air3d.training.scenes._MEAN_DREAMS = 8\n"
    places = {"data": data, "n": 24}
    argv = lines[what].format(run=tmp_path / "made", out=tmp_path / "made", **places).split()
    argv += ["--workers", "2"] if what == "generate" else []
    begun = time.monotonic()
    assert commands.run(argv, quick)[0] == 0
    lasts, expected = time.monotonic() - begun, digests(tmp_path / "made")
    shutil.rmtree(tmp_path / "made")
    moments = random.Random(3)
    for number in SIGNALS * ROUNDS:
        command = commands.start(argv, quick)
        command.process.join(moments.uniform(0.0, lasts))
        if command.process.exitcode is None:
            os.kill(command.process.pid, number)
        code, printed = command.wait()
        assert code in (0, 128 + number, -number), printed  # the last one: before there was a command
        assert "Traceback" not in printed or code == -number, printed
        assert code <= 0 or "run the same command again" in printed or "ended by" in printed or "interrupted" in printed
        hidden = list(tmp_path.rglob("*.tmp"))
        assert not hidden or code == -number, hidden
    code, printed = commands.run(argv, quick)
    assert code == 0, printed
    assert digests(tmp_path / "made") == expected
    tried(f"SIGINT, SIGTERM, SIGHUP at a random moment ({what})", ROUNDS * len(SIGNALS))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full"])
def test_streams_that_nobody_holds(data: Path, digests: Any, tmp_path: Path, closed: str, tried: Any) -> None:
    line = "--num 40 --seed 4 --size 32 --renderer analytic --scenes-per-shard 8 --workers 2"
    cases = {
        0: ["generate", "single", str(tmp_path / "d"), *line.split()],
        2: ["inspect", str(tmp_path / "none")],
    }
    for expected, argv in cases.items():
        done = subprocess.run(
            ["bash", "-c", f'"$@" {closed}', "sh", sys.executable, "-m", "air3d", *argv],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == expected, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
    assert digests(tmp_path / "d") == digests(data)
    tried("standard streams that are closed or full", len(cases))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_user_without_a_home_who_may_write_nowhere(open_folder: Path, tried: Any) -> None:
    """Nor beside the code, nor in a folder for temporary files but that of the test."""
    prefix = [*NOBODY, *READS]
    if os.getuid() or not shutil.which("setpriv") or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("takes root, to become another user")
    out, scratch = open_folder / "out", open_folder / "scratch"
    for folder in (out, scratch):
        folder.mkdir()
        folder.chmod(0o777)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    tabletop = "--num 6 --seed 1 --size 64 --quiet --renderer raster --workers 2 --scenes-per-shard 3"
    own = f"--kinds pyramid mug --objects {ROOT / 'tests' / 'own'}"
    cases = [
        f"generate tabletop {out}/d {tabletop} {own}",
        f"generate tabletop {out}/c {tabletop}",
        f"inspect {out}/d --sheet {out}/sheet.png",
        f"infer tabletop {out}/sheet.png --out {out}/answers",
        f"evaluate tabletop --data {out}/c --limit 2 --bound-samples 2 --report {out}/report.html --quiet",
        f"render {out}/answers/sheet.scene.json {out}/picture.png --detail inference --renderer raster",
        f"export coco {out}/d {out}/coco --quiet",
        f"export glb {out}/answers/sheet.scene.json {out}/scene.glb",
        "doctor",
    ]
    for line in cases:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "air3d", *line.split()],
            cwd="/", env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    assert "you have no home" in " ".join(done.stdout.split()) or "air3d-54321" in done.stdout
    tried("commands of a user without a home, who may write nowhere", len(cases))
