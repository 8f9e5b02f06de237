"""`air3d view` as it is typed: what it says, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from air3d.scene3d.assets import asset_path

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _viser() -> None:
    pytest.importorskip("viser", minversion="1.1")


def test_bad_input_is_one_line(refused: Refused, tmp_path: Path) -> None:
    assert "does not exist" in refused("view", tmp_path / "nowhere")
    assert "--samples -1" in refused("view", "tabletop", "--samples", "-1")
    assert "--num 0" in refused("view", "tabletop", "--num", "0")
    assert "--port 99999" in refused("view", "tabletop", "--port", "99999", "--num", "1")
    assert "no such address" in refused("view", "tabletop", "--host", "no.such.host.invalid", "--num", "1")


def test_a_scene_on_a_taken_port_until_ctrl_c(start_viewer: Callable[..., subprocess.Popen[str]]) -> None:
    scene = asset_path("examples", "breakfast.scene.json")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        viewer = start_viewer(scene, "--port", port, "--renderer", "analytic")
        try:
            assert viewer.stdout is not None
            line = viewer.stdout.readline()
            viewer.send_signal(signal.SIGINT)
            out, err = viewer.communicate(timeout=120)
        finally:
            viewer.kill()
            viewer.wait()
    found = re.search(r"breakfast\.scene\.json: http://127\.0\.0\.1:(\d+) ", line)
    assert found, (line, err)
    assert int(found.group(1)) > port
    assert viewer.returncode == 130
    assert out == ""
    assert err.splitlines() == [
        f"{scene}: no shipped model fits; shown without an inference (--model names one of yours)",
        f"port {port} is taken; using {found.group(1)}",
        "air3d: interrupted",
    ]
