"""What is not given back is counted, and makes the soak fail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from air3d.scene3d.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[[str], ModuleType]


@pytest.fixture
def soak(script: Script, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    module = script("soak")
    monkeypatch.setitem(module._WARM_UP, "render", 2)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return module


def test_open_files_are_counted(soak: ModuleType, tmp_path: Path) -> None:
    before = soak.Held.now()
    with open(tmp_path / "file", "w"):
        during = soak.Held.now()
    assert (during.files, during.processes) == (before.files + 1, before.processes)
    assert soak.Held.now() == before


@pytest.mark.parametrize("leaks", [False, True])
def test_a_file_that_stays_open_fails_the_soak(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], leaks: bool
) -> None:
    files: list[Any] = []

    @contextlib.contextmanager
    def work(renderer: str) -> Iterator[Callable[[], int]]:
        def step() -> int:
            files.append(open("/dev/null"))  # noqa: SIM115
            if not leaks:
                files.pop().close()
            return 1

        yield step

    monkeypatch.setitem(soak.WORK, "render", work)
    monkeypatch.setattr(soak, "watch_memory", lambda step, seconds: [step() for _ in range(3)] and flat(soak))
    code = soak.main(soak.Args(work=("render",), minutes=0.01))
    for file in files:
        file.close()
    printed = capsys.readouterr().out
    assert code == (1 if leaks else 0)
    assert ("leaked: {'files':" in printed) == leaks


def flat(soak: ModuleType) -> object:
    return soak.Memory(1.0, 3, 2, 100.0, 100.0, 100.0, 0.0)


def test_a_bad_time_is_refused(soak: ModuleType) -> None:
    with pytest.raises(InputError, match="--minutes is 0"):
        soak.main(soak.Args(minutes=0.0))
