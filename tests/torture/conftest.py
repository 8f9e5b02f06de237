"""Shared by the torture suite: the table of what was tried, a server that forks commands, and sealed surroundings.

Every test of this folder is marked `torture`; `make torture` runs them and prints the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_PRELOAD = [f"air3d.cli.{name}" for name in ("generate", "generate_digits", "train", "train_digits")]

_ELSEWHERE = pytest.StashKey[list[float]]()

_CHILD = """
import os, sys
sys.stdout, sys.stderr = (open({log!r}, "a", buffering=1) for _ in range(2))
import torch
torch.set_num_threads(1)
import air3d.digits.train, air3d.training.scenes
for module in (air3d.digits.train, air3d.training.scenes):
    module.CHECKPOINT_EVERY, module.LOG_EVERY = {every}, 2
{before}
from air3d.cli.main import main
code = main({argv!r})
sys.stdout.flush()
os._exit(code)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.torture)


class Tried:
    """tried("what", 20, "scenes"): note what a test has tried; lost is what the test fails for."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def __call__(self, what: str, cases: int) -> None:
        self._properties.append(("tried", [what, cases]))


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Tried:
    return Tried(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of what was tried and what was lost; AIR3D_TORTURE_TABLE names a file for it too."""
    rows: dict[str, list[int]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if "/torture/" not in report.nodeid or (outcome == "passed" and report.when != "call"):
                continue
            noted = [value for name, value in report.user_properties if name == "tried"]
            if outcome == "skipped":
                noted = [(f"{report.nodeid.rpartition('::')[2]}: skipped, {_reason(report)}", 0)]
            for what, cases in noted or [(report.nodeid.rpartition("::")[2], 1)]:
                row = rows.setdefault(what, [0, 0])
                row[0] += cases
                row[1] += outcome == "failed"
    if not rows:
        return
    lines = ["| tried | cases | lost |", "| --- | ---: | --- |"]
    lines += [f"| {what} | {n} | {'SOMETHING' if lost else 'nothing'} |" for what, (n, lost) in sorted(rows.items())]
    cases = sum(n for n, _ in rows.values())
    lost = sum(lost for _, lost in rows.values())
    lines.append(f"| all | {cases} | {f'see {lost} failures' if lost else 'nothing'} |")
    cpu = _cpu_seconds() + sum(terminalreporter.config.stash.get(_ELSEWHERE, []))
    lines.append(f"\n{_machine()}, {cpu:.0f} s of CPU time.")
    terminalreporter.section("what was tried, and what was lost")
    terminalreporter.write_line("\n".join(lines))
    if path := os.environ.get("AIR3D_TORTURE_TABLE"):
        Path(path).write_text("\n".join(lines) + "\n")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of pytest-xdist: tell the first process what was used here."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["cpu_seconds"] = _cpu_seconds()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash.setdefault(_ELSEWHERE, []).append(node.workeroutput.get("cpu_seconds", 0.0))


def _reason(report: object) -> str:
    longrepr = getattr(report, "longrepr", "")
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")


def _machine() -> str:
    head = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    kernel = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"Commit {head or 'unknown'}, {kernel}, {time.strftime('%Y-%m-%d')}"


def _cpu_seconds() -> float:
    """Of this process and of all below it, those that have ended included."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [me, *me.children(recursive=True)])


class Commands:
    """Runs commands of the command line in processes forked from a server that has imported everything already."""

    def __init__(self, folder: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._folder, self._count = folder, 0

    def start(self, argv: list[str], before: str = "", every: int = 4) -> Command:
        """Start a command; `before` is Python to run first, `every` the steps between checkpoints."""
        self._count += 1
        log = self._folder / f"{self._count}.log"
        code = _CHILD.format(log=str(log), argv=argv, before=before, every=every)
        process = self._context.Process(target=exec, args=(code, {"__name__": "command"}))
        process.start()
        return Command(process, log)

    def run(self, argv: list[str], before: str = "", every: int = 4) -> tuple[int, str]:
        """Run a command to its end: exit code (negative for a signal), and what it printed."""
        return self.start(argv, before, every).wait()


class Command:
    """A command that runs."""

    def __init__(self, process: ForkServerProcess, log: Path) -> None:
        self.process, self._log = process, log

    def kill_after(self, seconds: float) -> bool:
        """Kill it (SIGKILL) after so many seconds; whether it still ran."""
        self.process.join(seconds)
        if self.process.exitcode is not None:
            return False
        self.process.kill()
        self.process.join()
        return self.process.exitcode == -9

    def wait(self, seconds: float = 300.0) -> tuple[int, str]:
        """Exit code, and what was printed."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {seconds} s: {self._log.read_text()}")
        return self.process.exitcode, self._log.read_text() if self._log.exists() else ""


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    """digests(folder): sha256 of every file below, hidden ones too, but not locks and TensorBoard's times."""

    def of(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
        files = [path for path in files if "tensorboard" not in path.parts]
        return {str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest() for path in files}

    return of


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.parent.name == "model" and path.suffix == ".json":  # the commit in it may change while the tests run
        return json.dumps({key: value for key, value in json.loads(data).items() if key != "provenance"}).encode()
    return data


GENERATE = "generate single {out} --num 40 --seed 4 --size 32 --renderer analytic --scenes-per-shard 8 --quiet"
SINGLE = (
    "train single --data {data} --run {run} --renderer analytic --quiet --train.iterations {n} --train.batch 4 "
    "--train.estimator.samples 2 --train.guide.encoder.image-size 32 --train.guide.encoder.channels 8 16 "
    "--train.guide.encoder.code 32 --train.guide.hidden 32 --train.guide.window 12"
)
SLEEP = (
    "train tabletop --run {run} --kinds mug bowl --max-objects 2 --train.phase sleep --train.iterations {n} "
    "--train.batch 3 --train.guide.image-size 16 --train.guide.camera-widths 4 6 8 --train.guide.camera-code 8 "
    "--train.guide.widths 4 6 8 --train.guide.head 8 --train.guide.window 8 --train.guide.glimpse 8 "
    "--film-every 0 --renderer analytic --device cpu --quiet"
)
DIGITS = (
    "train digits {digits} --out {run} --train.iterations {n} --train.batch 5 --air.hidden 16 --air.head 16 "
    "--air.codec 32 --air.what 8 --air.window 12 --device cpu --quiet"
)


@pytest.fixture(scope="session")
def lines() -> dict[str, str]:
    """Command lines of generation and of three trainings."""
    return {"generate": GENERATE, "single": SINGLE, "sleep": SLEEP, "digits": DIGITS}


@pytest.fixture(scope="session")
def data(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of single objects, made without disturbance; read only."""
    folder = tmp_path_factory.mktemp("data") / "single"
    assert commands.run([*GENERATE.format(out=folder).split(), "--workers", "1"]) == (0, "")
    return folder


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    # Asked for other folders' tests, too, when they run in the same process.
    return json.dumps(val, default=str) if isinstance(val, (dict, list)) else None


class Seal:
    """Watches calls into the code under test: only InputError may leave, in bounded time and memory.

    Nothing may be unpickled, and nothing be written outside one folder. Python's audit events tell of both.
    """

    CPU_SECONDS, SECONDS = 30, 600  # a busy machine is slow, but not busy on our behalf
    EXTRA_BYTES = 3 << 30

    def __init__(self) -> None:
        self._inside: Path | None = None
        self._caught: list[str] = []
        sys.addaudithook(self._listen)

    def _listen(self, event: str, args: tuple[object, ...]) -> None:
        if self._inside is None:
            return
        if event == "pickle.find_class":
            self._caught.append(f"unpickles {args}")
        writes = event in ("os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.rename")
        if event == "open":
            writes = isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if not writes or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        path = Path(os.path.realpath(os.fsdecode(args[0])))
        if (
            not path.is_relative_to(self._inside)
            and path != Path(os.devnull)
            and not {"__pycache__", ".hypothesis"} & set(path.parts)
        ):
            self._caught.append(f"{event} writes {path}")

    @contextlib.contextmanager
    def __call__(self, folder: Path) -> Iterator[None]:
        """Within the block: a time limit, a memory limit, and writing into this folder alone."""
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        handlers = [(number, signal.signal(number, _too_long)) for number in (signal.SIGALRM, signal.SIGPROF)]
        self._inside = folder.resolve()
        self._caught.clear()
        resource.setrlimit(resource.RLIMIT_AS, (used + self.EXTRA_BYTES, before[1]))
        signal.alarm(self.SECONDS)
        signal.setitimer(signal.ITIMER_PROF, self.CPU_SECONDS)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            resource.setrlimit(resource.RLIMIT_AS, before)
            for number, handler in handlers:
                signal.signal(number, handler)
            self._inside = None
        assert not self._caught, self._caught


def _too_long(*_: object) -> None:
    raise TimeoutError("hangs")


@pytest.fixture(scope="session")
def sealed() -> Seal:
    return Seal()
