"""The process around a command: streams that are closed or whose reader has gone, and signals that end it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TextIO


def open_missing_streams() -> None:
    """Open the standard streams that a service closed, or never gave, on the null device.

    The descriptors too: else the next file that is opened would become the standard error of a library.
    """
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def let_go(stream: TextIO) -> None:
    """Silence a stream that cannot be written, so that not even Python's last flush fails on it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Terminated(KeyboardInterrupt):
    """Stands for SIGTERM or SIGHUP; whatever cleans up after Ctrl-C does so after these."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def number_of(stop: KeyboardInterrupt) -> int:
    """The number of the signal that interrupted the command."""
    return stop.number if isinstance(stop, Terminated) else int(signal.SIGINT)


def name_of(stop: KeyboardInterrupt) -> str:
    """The name of that signal."""
    return f"ended by {signal.Signals(number_of(stop)).name}" if isinstance(stop, Terminated) else "interrupted"


@contextlib.contextmanager
def terminations_interrupt() -> Iterator[None]:
    """Within the block the first SIGTERM or SIGHUP raises `Terminated`, unless it is ignored, as by nohup."""
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def end(number: int, frame: FrameType | None) -> None:
        for each in numbers:  # systemd sends both; what cleans up is not to be interrupted
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    handled = threading.current_thread() is threading.main_thread()
    ours = [number for number in numbers if handled and signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
