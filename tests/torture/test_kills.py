"""kill -9 at random moments, and before every file operation: the command repeated gives the same bytes."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = 20

QUICK = "air3d.training.scenes._MEAN_DREAMS = 8"

# Dies before file operation number {n}: the moments at which the disk can be caught half-way.
CRASH = """
import builtins, signal
left = [{n}]
def mortal(name):
    real = getattr(os, name)
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(os, name, call)
for name in ("fsync", "replace", "unlink", "mkdir"):
    mortal(name)
"""


@pytest.fixture(scope="module")
def digits_data(commands: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    line = f"generate digits {folder} --num 24 --source uci --workers 1 --quiet"
    assert commands.run(line.split()) == (0, "")
    return folder


def killed_until_done(
    commands: Any, argv: list[str], folder: Path, check: Callable[[Path], None], seed: int, before: str
) -> int:
    """Kill a command KILLS times at random moments of its life, repeat it until it is done, `check` what it made.

    It starts afresh whenever it gets done before all kills are spent. Returns the number of times it got done.
    """
    moments = random.Random(seed)
    begun = time.monotonic()
    assert commands.run(argv, before)[0] == 0
    check(folder)
    lasts = time.monotonic() - begun
    shutil.rmtree(folder)
    kills = finished = 0
    while kills < KILLS:
        command = commands.start(argv, before)
        if command.kill_after(moments.uniform(0.0, lasts)):
            kills += 1
            continue
        assert command.wait()[0] == 0
        check(folder)
        shutil.rmtree(folder)
        finished += 1
    code, printed = commands.run(argv, before)
    assert code == 0, printed
    check(folder)
    return finished + 1


@pytest.mark.parametrize("workers", [1, 2])
def test_generation(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, workers: int, tried: Any
) -> None:
    whole = digests(data)
    argv = [*lines["generate"].format(out=tmp_path / "d").split(), "--workers", str(workers)]

    def check(folder: Path) -> None:
        assert digests(folder) == whole

    killed_until_done(commands, argv, tmp_path / "d", check, workers, "")
    tried(f"generation killed at a random moment, {workers} processes", KILLS)


@pytest.mark.parametrize("track", ["single", "sleep", "digits"])
def test_training(
    commands: Any, lines: Any, data: Path, digits_data: Path, digests: Any, tmp_path: Path, track: str, tried: Any
) -> None:
    places = {"data": data, "digits": digits_data, "n": 24}
    whole = tmp_path / "whole"
    assert commands.run(lines[track].format(run=whole, **places).split(), QUICK)[0] == 0
    expected = digests(whole)
    assert "model/weights.safetensors" in expected
    argv = lines[track].format(run=tmp_path / "run", **places).split()

    def check(folder: Path) -> None:
        assert digests(folder) == expected

    killed_until_done(commands, argv, tmp_path / "run", check, 7, QUICK)
    tried(f"training ({track}) killed at a random moment", KILLS)


@pytest.mark.parametrize("what", ["generate", "single"])
def test_before_every_file_operation(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, what: str, tried: Any
) -> None:
    folder = tmp_path / "made"
    if what == "generate":
        expected, argv = digests(data), [*lines[what].format(out=folder).split(), "--workers", "1"]
    else:
        whole = tmp_path / "whole"
        assert commands.run(lines[what].format(run=whole, data=data, n=6).split(), every=2)[0] == 0
        expected, argv = digests(whole), lines[what].format(run=folder, data=data, n=6).split()
    for n in range(1, 200):
        code, printed = commands.run(argv, CRASH.format(n=n), every=2)
        if code == 0:
            break
        assert code == -9, printed
        code, printed = commands.run(argv, every=2)
        assert code == 0, printed
        assert digests(folder) == expected, f"killed before file operation {n}"
        shutil.rmtree(folder)
    assert digests(folder) == expected
    assert n > 10, "there are file operations to die before"
    tried(f"{'generation' if what == 'generate' else 'training'} killed before a file operation", n - 1)
