"""A full disk, a damaged dataset, a damaged checkpoint: named, and made good by the same command."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """small_disk(kib): a file system of so many KiB, where this process may mount one."""
    mounted = []

    def mount(kib: int) -> Path:
        folder = tmp_path / f"disk{kib}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here (that needs root)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def one_line(code: int, printed: str) -> str:
    assert code == 2 and "Traceback" not in printed, printed
    lines = [line for line in printed.splitlines() if line.startswith("air3d: error: ")]
    assert len(lines) == 1, printed
    return lines[0]


def room(folder: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)


@pytest.mark.parametrize("kib", [8, 60, 120, 200])
def test_generation_onto_a_full_disk(
    commands: Any, lines: Any, data: Path, digests: Any, small_disk: Any, kib: int, tried: Any
) -> None:
    disk = small_disk(kib)
    argv = [*lines["generate"].format(out=disk / "d").split(), "--workers", "1"]
    assert "No space left on device; free some space" in one_line(*commands.run(argv))
    assert not [path.name for path in (disk / "d").iterdir() if path.name.endswith(".tmp")]
    room(disk, 10_000)
    assert commands.run(argv) == (0, "")
    assert digests(disk / "d") == digests(data)
    tried("a full disk (tmpfs) while generating, then space", 1)


@pytest.mark.parametrize("kib", [4, 100, 260, 420])
def test_training_onto_a_full_disk(
    commands: Any, lines: Any, data: Path, digests: Any, small_disk: Any, tmp_path: Path, kib: int, tried: Any
) -> None:
    disk = small_disk(kib)
    line = lines["single"]
    assert commands.run(line.format(data=data, run=tmp_path / "whole", n=8).split(), every=2)[0] == 0
    argv = line.format(data=data, run=disk / "run", n=8).split()
    assert "No space left on device" in one_line(*commands.run(argv, every=2))
    room(disk, 10_000)
    code, printed = commands.run(argv, every=2)
    assert code == 0, printed
    assert digests(disk / "run") == digests(tmp_path / "whole")
    tried("a full disk (tmpfs) while training, then space", 1)


@pytest.mark.parametrize("limit", [0, 100, 5_000, 30_000])
@pytest.mark.parametrize("what", ["generate", "single"])
def test_files_that_may_not_grow(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, what: str, limit: int, tried: Any
) -> None:
    """The limit of the system on the size of a file, which needs no root."""
    argv = lines[what].format(out=tmp_path / "d", data=data, run=tmp_path / "d", n=4).split()
    # What is printed would go to a file too, and the message itself not fit.
    code, _ = commands.run(argv, LIMIT.format(bytes=limit) + "; sys.stdout = sys.stderr = open(os.devnull, 'w')")
    assert code == 2
    assert commands.run(argv)[0] == 0
    if what == "generate":
        assert digests(tmp_path / "d") == digests(data)
    tried("files that may not grow (RLIMIT_FSIZE)", 1)


def damages(folder: Path) -> Iterator[tuple[Path, str]]:
    """Damage one file of a dataset after another, each in every way."""
    for path in sorted(folder.glob("shard-*")) + [folder / "manifest.json"]:
        for how in ("truncated", "flipped", "missing", "empty", "of another shard"):
            yield path, how


def damage(path: Path, how: str, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "of another shard":
        others = [other for other in path.parent.glob(f"shard-*{path.suffix}") if other.name != path.name]
        shutil.copy(rng.choice(sorted(others)), path)
    else:
        if how == "flipped":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes({"truncated": data[: rng.randrange(1, len(data))], "empty": b"", "flipped": data}[how])


def content(folder: Path) -> dict[str, object]:
    """What is in the files of a dataset, but for the record of what made it, which nothing depends on."""
    files: dict[str, object] = {path.name: path.read_bytes() for path in folder.glob("*.tar")}
    for path in folder.glob("*.json"):
        files[path.name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "made_with"}
    return files


def test_damaged_datasets_are_named_and_repaired(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, tried: Any
) -> None:
    folder, whole, rng = shutil.copytree(data, tmp_path / "d"), digests(data), random.Random(3)
    argv = [*lines["generate"].format(out=folder).split(), "--workers", "1"]
    cases = 0
    for path, how in damages(folder):
        damage(path, how, rng)
        noticed = digests(folder) != whole
        code, printed = commands.run(["inspect", str(folder)])
        if noticed and path.suffix == ".tar":
            assert code in (1, 2) and path.stem in printed and "Traceback" not in printed, (path.name, how, printed)
        assert commands.run(argv) == (0, "")
        assert content(folder) == content(data), f"{path.name} {how}"
        cases += 1
    tried("files of a dataset truncated, flipped, emptied, swapped or missing", cases)


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing", "empty"])
def test_training_refuses_or_survives_damage(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, how: str, tried: Any
) -> None:
    rng = random.Random(how)
    line = lines["single"]
    whole = tmp_path / "whole"
    assert commands.run(line.format(data=data, run=whole, n=8).split(), every=2)[0] == 0
    # The data: refused, with the name of the shard.
    folder = shutil.copytree(data, tmp_path / "d")
    damage(folder / "shard-000002.tar", how, rng)
    argv = line.format(data=folder, run=tmp_path / "none", n=8).split()
    # Of a flipped bit the sample is named, or it lies between samples, and nothing reads it.
    code, printed = commands.run(argv)
    assert code == 0 if how == "flipped" and code == 0 else re.search("shard-000002|sample ", one_line(code, printed))
    # The last checkpoint: named, and the run goes on from the one before it, to the same bytes.
    stopped = "import air3d.training.scenes as m\nreal = m.train\n"
    stopped += "import air3d.training.run_folder as r\nsave = r.RunFolder.save_checkpoint\n"
    stopped += "def once(self, n, *a):\n    save(self, n, *a)\n    if n == 6: os._exit(9)\n"
    stopped += "r.RunFolder.save_checkpoint = once"
    run = tmp_path / "run"
    argv = line.format(data=data, run=run, n=8).split()
    assert commands.run(argv, stopped, every=2)[0] == 9
    damage(run / "checkpoint.safetensors", how, rng)
    code, printed = commands.run(argv, every=2)
    assert code == 0 and "resuming after 4 iterations" in printed, printed
    assert ("checkpoint.safetensors: " in printed and "going on from the checkpoint before it" in printed) == (
        how != "missing"
    )
    assert digests(run) == digests(whole)
    # The weights that it made: refused, by name.
    damage(run / "model" / "weights.safetensors", how, rng)
    argv = ["evaluate", str(run), "--data", str(data), "--renderer", "analytic", "--quiet"]
    assert "weights.safetensors" in one_line(*commands.run(argv))
    tried("data, checkpoint or weights of a training damaged", 3)
