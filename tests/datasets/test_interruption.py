"""Real processes that are killed, interrupted, starved of disk: the command repeated gives the same bytes."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from air3d.cli.main import main

ROOT = Path(__file__).parents[2]
COMMAND = "generate tabletop {out} --num 640 --seed 4 --size 48 --renderer analytic --scenes-per-shard 24 --workers 2"


def arguments(out):
    return COMMAND.format(out=out).split()


def start(out, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "air3d", *arguments(out)], cwd=ROOT, stderr=subprocess.PIPE, text=True, **kwargs
    )


def children(pid):
    """Processes below `pid`, from /proc."""
    try:
        found = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [below for child in found for below in children(child)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=120.0):  # a busy machine takes its time to start processes
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def tars(folder):
    return len(list(folder.glob("shard-*.tar"))) if folder.exists() else 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digests):
    """Digests of the dataset made without disturbance, in this process."""
    out = tmp_path_factory.mktemp("whole") / "d"
    assert main([*arguments(out)[:-1], "1", "--quiet"]) == 0
    return digests(out)


def test_killed_at_random_moments(whole, digests, tmp_path):
    moments = random.Random(20)
    out, seen = tmp_path / "d", []
    for _ in range(3):
        target = tars(out) + moments.randint(1, 4)
        with start(out) as process:
            assert wait_for(lambda n=target: tars(out) >= n)
            time.sleep(moments.uniform(0.0, 0.03))
            below = children(process.pid)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert len(below) >= 2
        assert wait_for(lambda pids=below: not any(alive(pid) for pid in pids)), "workers outlive their parent"
        seen.append(tars(out))
        assert not (out / "manifest.json").exists()
    assert seen == sorted(seen) and seen[-1] < 27
    with start(out) as process:
        _, errors = process.communicate()
    assert process.returncode == 0
    assert "were there already" in errors and " 0 were there" not in errors
    assert digests(out) == whole


SLOW = """
import sys, time
from pathlib import Path
from air3d.datasets.build import Build
from air3d.datasets.config import GenerateConfig
from air3d.datasets.recipe import SceneRecipe
from air3d.scene3d.presets import single_prior

def make(config):
    time.sleep(120)  # as a driver that hangs

if __name__ == "__main__":
    config = GenerateConfig("single", 64, 0, single_prior(), scenes_per_shard=8)
    with Build(config, Path(sys.argv[1])) as build:
        build.run(SceneRecipe(config, make), {}, 2, lambda scenes: None)
"""


def test_workers_that_hang_end_with_their_parent(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "d")], env=environment) as process:
        assert wait_for(lambda: len(children(process.pid)) >= 3)
        below = children(process.pid)
        time.sleep(2.0)  # they have started by then, most likely; if not, they end all the same
        process.kill()
        process.wait()
    assert wait_for(lambda: not any(alive(pid) for pid in below), seconds=10.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("send", [os.killpg, os.kill])  # to all of them, as terminals do, or to the first alone
def test_interrupt_ends_the_workers_and_can_be_resumed(whole, digests, tmp_path, number, send):
    out = tmp_path / "d"
    with start(out, start_new_session=True) as process:
        assert wait_for(lambda: tars(out) >= 2)
        below = children(process.pid)
        send(process.pid, number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert "to go on where it stopped, run the same command again: air3d generate" in errors
    assert "Traceback" not in errors
    assert wait_for(lambda: not any(alive(pid) for pid in below))
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]
    assert main(arguments(out)) == 0
    assert digests(out) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_while_the_workers_start(tmp_path, number):
    out = tmp_path / "d"
    with start(out, start_new_session=True) as process:
        assert wait_for(lambda: len(children(process.pid)) >= 2)
        below = children(process.pid)
        os.killpg(process.pid, number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert wait_for(lambda: not any(alive(pid) for pid in below))


def test_a_worker_that_dies_gives_one_line(tmp_path):
    out = tmp_path / "d"
    with start(out) as process:
        assert wait_for(lambda: tars(out) >= 1)
        victim = max(pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(victim, signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == 2
    lines = [line for line in errors.splitlines() if "error" in line]
    assert len(lines) == 1 and "a worker was killed by signal 9" in lines[0] and "Traceback" not in errors


def test_no_room_on_the_disk(tmp_path):
    """The system refuses to let files grow beyond 60 kB; a shard needs more."""
    out = tmp_path / "d"
    with start(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))) as process:
        _, errors = process.communicate()
    assert process.returncode == 2
    assert errors.count("\n") == 1 and "free some space and run the same command again" in errors
    assert sorted(path.name for path in out.iterdir()) == [".lock", "config.json"]


@pytest.mark.parametrize(
    "change, words",
    [
        (["--num", "0"], "num is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--kinds", "mugg"], "did you mean 'mug'"),
        (["--workers", "0"], "--workers 0"),
        (["--shard", "4/4"], "from 0 to n-1"),
        (["--min-visible", "nan"], "min_visible"),
        (["--size", "100000"], "--size '100000': write a side"),
        (
            ["--min-objects", "9", "--max-objects", "9", "--kinds", "glass", "--min-visible", "1", "--size", "16"],
            "in a row",
        ),
    ],
)
def test_bad_settings_give_one_line(tmp_path, capsys, change, words):
    out = tmp_path / "d"
    assert main([*arguments(out)[:-2], "--workers", "1", *change]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert tars(out) == 0


def test_unwritable_places_give_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for out in ("/proc/dataset", tmp_path / "file", tmp_path / "file" / "below", "/dev/null"):
        assert main(arguments(out)) == 2
        message = capsys.readouterr().err
        assert str(out) in message and message.count("\n") == 1
