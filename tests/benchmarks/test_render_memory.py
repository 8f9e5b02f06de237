"""Memory that grows is seen, in this process and in its children; a renderer's is measured end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[[str], ModuleType]


# In a process of its own: one that has run other tests may give memory back meanwhile.
LEAK = """
import json, mmap, runpy, time
leak = []

def step():
    leak.append(mmap.mmap(-1, 8 * 2**20))  # not the heap, which may hold free pages from before
    leak[-1].write(bytes(8 * 2**20))
    time.sleep(0.02)
    return 8

memory = runpy.run_path("benchmarks/render_memory.py")["watch_memory"](step, seconds=0.5, every_s=0.01)
print(json.dumps([memory.flat, memory.work, memory.start_mib, memory.end_mib, memory.peak_mib, memory.growth_percent]))
"""


def test_a_leak_is_seen() -> None:
    done = subprocess.run([sys.executable, "-c", LEAK], cwd=ROOT, capture_output=True, text=True, check=True)
    flat, work, start_mib, end_mib, peak_mib, growth_percent = json.loads(done.stdout)
    grown = end_mib - start_mib
    assert not flat and growth_percent == pytest.approx(100.0 * grown / start_mib)
    # the medians leave out half a twentieth at either side
    assert 0.85 * work - 8.0 <= grown <= work + 10.0
    assert peak_mib >= end_mib


def test_steady_work_is_flat(script: Script) -> None:
    memory = script("render_memory").watch_memory(lambda: len(bytes(2**20)), seconds=0.2, every_s=0.01)
    assert memory.flat
    assert memory.work % 2**20 == 0 and memory.work > 0
    assert memory.seconds >= 0.2 and memory.samples >= 2


def test_children_count(script: Script) -> None:
    module = script("render_memory")
    before = module.resident_mib()
    code = "block = b'x' * (100 << 20); print(len(block), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        grown = module.resident_mib() - before
        child.communicate(b"\n")
    assert 100.0 <= grown <= 150.0


@pytest.mark.parametrize("growth_percent, code", [(1.9, 0), (2.1, 1)])
def test_the_exit_code_tells(script: Script, monkeypatch: pytest.MonkeyPatch, growth_percent: float, code: int) -> None:
    module = script("render_memory")
    memory = module.Memory(60.0, 1, 60, 100.0, 100.0 + growth_percent, 110.0, growth_percent)
    monkeypatch.setattr(module, "watch_memory", lambda step, seconds: memory)
    assert module.main(module.Args(renderer="analytic")) == code


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/render_memory.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    done = run("--renderer", "analytic", "--minutes", "0.02", "--size", "16", "--json", str(out))
    result = json.loads(out.read_text())
    assert done.returncode == (1 if result["growth_percent"] > 2.0 else 0), done.stderr
    assert result["name"] == "analytic" and result["images"] > 0 and result["start_mib"] > 10.0


def test_nonsense_is_one_line() -> None:
    done = run("--minutes", "0")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
