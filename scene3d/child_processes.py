"""Checks for processes that start others: the script's main guard, and who has to heed an interrupt."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from air3d.scene3d.errors import InputError

NAME = "air3d-"
"""The beginning of the names of our processes."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNGUARDED = 77


def check_main_guard() -> None:
    """Refuse to go on in a process that was just started; call it before anything that takes locks or starts processes.

    A process that was just started (spawn) first imports the script that its parent runs. If the script has no main
    guard, it comes here again. A process of ours ends then, and its parent says why (`obituary`).

    Raises:
        InputError: if this is such a process of somebody else's.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        if process.name.startswith(NAME):
            os._exit(_UNGUARDED)
        raise InputError(_guard())


def check_can_start() -> None:
    """Refuse to start processes where that is impossible; call it before.

    Raises:
        InputError: if this process cannot start others; the message says what to do.
    """
    check_main_guard()
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path is not None and getattr(main, "__spec__", None) is None and not os.path.isfile(path):
        raise InputError(
            f"a program read from '{path}' cannot start processes, for they import it from its file: save it to a "
            "file, or work with one process"
        )


def obituary(exitcode: int | None) -> str:
    """Say how a process ended, as the end of a sentence that begins with "it".

    Raises:
        InputError: if it ended because the script has no main guard.
    """
    if exitcode == _UNGUARDED:
        raise InputError(_guard())
    if exitcode is not None and exitcode < 0:
        return f"was killed by signal {-exitcode}"
    return f"ended with code {exitcode}"


def _guard() -> str:
    script = os.path.basename(getattr(sys.modules.get("__main__"), "__file__", None) or "the script")
    return (
        f"{script} starts processes while it is imported, and each of them imports it: put what it does into a "
        'function main(), and end it with the two lines  if __name__ == "__main__":  and, indented,  main()'
    )


@contextlib.contextmanager
def interrupts_later(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals wait until the block ends; processes started in it never see them, since their parent ends them."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # multiprocessing's own helper: its start lets interrupts through again
    # The mask is for the children, who inherit it. Here another thread may take the signal, so the handlers wait too.
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handled = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in numbers if handled}
    handlers = {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}
    for number in handlers:
        signal.signal(number, note)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
