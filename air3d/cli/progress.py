"""Progress on stderr: a bar on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from air3d.cli.surroundings import let_go

_PLAIN_INTERVAL_S = 5.0


class ProgressReport:
    """Counts work done, with rate and time left; a context manager.

    Args:
        what: names the things that are counted, for instance "scenes".
        total: how many there are in all.
        done: how many were done before the start; the rate leaves them out.
        quiet: show nothing.
    """

    def __init__(self, what: str, total: int, done: int = 0, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._what, self._total, self._done, self._before, self._quiet = what, total, done, done, quiet
        self._started = self._last = time.perf_counter()
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            columns = (
                TextColumn(what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(what, total=total, completed=done, rate="", note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int, note: str = "") -> None:
        """Count finished work; `note` says how it goes."""
        self._done += count
        now = time.perf_counter()
        rate = (self._done - self._before) / max(now - self._started, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=_per_second(rate), note=note)
        elif not self._quiet and now - self._last >= _PLAIN_INTERVAL_S:
            self._last = now
            left = (self._total - self._done) / max(rate, 1e-9)
            line = f"{self._done} of {self._total} {self._what}, {_per_second(rate)}, {duration(left)} left  {note}"
            say(line.rstrip())


def duration(seconds: float) -> str:
    """A span of time in the unit that people use for it."""
    minutes = round(seconds / 60.0)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _per_second(rate: float) -> str:
    return f"{rate:.0f}/s" if rate >= 100.0 else f"{rate:.3g}/s"


def say(line: str) -> None:
    """Print a line on stderr; the work goes on even if it cannot be written."""
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        let_go(sys.stderr)


def say_resumed(done: int, damage: str | None) -> None:
    """Say that a run goes on after `done` iterations, if it does, and which `damage` it passes over."""
    if damage is not None:
        say(f"{damage}; going on from the checkpoint before it")
    if done:
        say(f"resuming after {done} iterations")
