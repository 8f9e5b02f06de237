"""Shards from a Ray cluster: the same bytes as one process, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from air3d.cli.main import main
from air3d.datasets.manifest import claim_folder
from air3d.datasets.ray_engine import ShardBytes, keep_shard, make_shard
from air3d.datasets.recipe import SceneRecipe
from air3d.datasets.workers import ShardJob
from air3d.renderers.choice import make_renderer
from air3d.scene3d.errors import InputError

ROOT = Path(__file__).parents[2]
MADE_WITH = {"air3d": "test", "renderer": "analytic"}
COMMAND = "generate tabletop {out} --num 1200 --seed 4 --size 48 --renderer analytic --scenes-per-shard 24"


def made_with():
    return MADE_WITH


@pytest.fixture
def job(config, tmp_path):
    tmp_path.joinpath("d").mkdir()
    claim_folder(tmp_path / "d", config)
    return ShardJob(tmp_path / "d", config, SceneRecipe(config, partial(make_renderer, backend="analytic")), {})


def test_a_shard_that_travelled_is_the_shard(job, dataset, digests, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for shard in (2, 0):
        keep_shard(job.folder, shard, make_shard(job, shard, made_with))
    found, wanted = digests(job.folder), digests(dataset)
    left = {"README.md", "manifest.json", "shard-000001.json", "shard-000001.tar"}
    assert {name for name in wanted if name not in found} == left
    assert all(wanted[name] == digest for name, digest in found.items())


def test_what_arrives_damaged_is_not_kept(job, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    made = make_shard(job, 1, made_with)
    torn = bytearray(made.tar)
    torn[1000] ^= 1
    with pytest.raises(InputError, match=r"shard-000001\.tar: arrived damaged"):
        keep_shard(job.folder, 1, ShardBytes(bytes(torn), made.sidecar))
    assert [path.name for path in job.folder.iterdir()] == ["config.json"]


def test_lacks_and_slips_give_one_line(tmp_path, capsys, monkeypatch):
    command = COMMAND.format(out=tmp_path / "d").split()
    assert main([*command, "--ray-address", "head:6379"]) == 2
    message = capsys.readouterr().err
    assert "add --engine ray" in message and message.count("\n") == 1
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--engine", "ray", "--quiet"]) == 2
    message = capsys.readouterr().err
    assert "pip install 'air3d[ray]'" in message and message.count("\n") == 1


class Cluster:
    """A head and a second node of one core each, with their own folder and port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        self._node("--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false")
        self._node(f"--address={self.address}", "--node-ip-address=127.0.0.1")

    def _node(self, *options: str) -> None:
        ray = Path(sys.executable).with_name("ray")
        fixed = ("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block")
        log = open(self._folder / f"node-{len(self.nodes)}.log", "wb")  # noqa: SIM115  the process's own
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [ray, "start", f"--temp-dir={self._folder}", *fixed, *options]
        node = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
        log.close()
        self.nodes.append(node)
        assert wait_for(lambda: b"Ray runtime started" in Path(log.name).read_bytes() or node.poll() is not None, 60.0)
        assert node.poll() is None, Path(log.name).read_text()

    def workers(self) -> list[psutil.Process]:
        """Processes that are making a shard."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(node.pid).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if process.cmdline()[:1] == ["ray::make_shard"]:
                            found.append(process)
        return found

    def stop(self) -> None:
        below = [child for node in self.nodes for child in psutil.Process(node.pid).children(recursive=True)]
        for node in self.nodes[::-1]:
            node.terminate()
        for node in self.nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(20.0)
        _, left = psutil.wait_procs(below, timeout=10.0)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def tars(folder):
    return len(list(folder.glob("shard-*.tar"))) if folder.exists() else 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="the extra ray")
    folder = Path(tempfile.mkdtemp(prefix="air3d-", dir="/tmp"))  # names of sockets are short
    made = Cluster(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digests):
    """Digests of the dataset that one process makes."""
    out = tmp_path_factory.mktemp("whole") / "d"
    assert main([*COMMAND.format(out=out).split(), "--workers", "1", "--quiet"]) == 0
    return digests(out)


def start(out, cluster, **environment):
    command = [sys.executable, "-m", "air3d", *COMMAND.format(out=out).split(), "--engine", "ray"]
    if not environment:
        command += ["--ray-address", cluster.address]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | environment, start_new_session=True
    )


@pytest.mark.slow
def test_workers_killed_and_the_driver_interrupted(cluster, whole, digests, tmp_path):
    """One worker after another is killed; then Ctrl-C; then the command again: the bytes of one process."""
    out, killed = tmp_path / "d", set()
    with start(out, cluster) as process:
        for goal in (1, 8):
            assert wait_for(lambda goal=goal: tars(out) >= goal and cluster.workers())
            victim = cluster.workers()[0]
            victim.kill()
            killed.add(victim.pid)
        assert wait_for(lambda: tars(out) >= 16)
        assert process.poll() is None, "the workers' death has not ended the command"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in errors and "Traceback" not in errors
    assert len(killed) == 2 and 16 <= tars(out) < 50
    assert not (out / "manifest.json").exists() and not list(out.glob(".*.tmp"))
    assert wait_for(lambda: not cluster.workers()), "tasks go on after their driver has ended"
    with start(out, cluster, RAY_ADDRESS=cluster.address) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "were there already" in errors and " 0 were there" not in errors
    assert digests(out) == whole


@pytest.mark.slow
def test_a_lost_machine(cluster, whole, digests, tmp_path):
    """The second node dies whole, with whatever it was making."""
    out = tmp_path / "d"
    with start(out, cluster) as process:
        assert wait_for(lambda: tars(out) >= 2)
        node = psutil.Process(cluster.nodes[1].pid)
        for victim in [*node.children(recursive=True), node]:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert digests(out) == whole
