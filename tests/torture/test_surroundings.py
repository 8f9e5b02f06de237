"""Two processes at once; odd clocks, locales, masks and names: the same bytes, or one clear line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ODD_NAMES = ("two words", "Größe 数据 \N{TEAPOT}", "a\nb", "-x", "#?%20", "'\"$(true)", ".hidden", "x" * 200)

SURROUNDINGS = {
    "another time zone": "os.environ['TZ'] = 'Pacific/Kiritimati'; import time; time.tzset()",
    "a clock of 1970": "import time; time.time = lambda: 0.0; time.time_ns = lambda: 0",
    "a clock that runs backwards": "import time, itertools; n = itertools.count(); time.time = lambda: 4e9 - next(n)",
    "a clock of 2106": "import time; time.time = lambda: 2.0**32 + 1; time.time_ns = lambda: 2**32 * 10**9",
    "a mask that takes all rights of others": "os.umask(0o077)",
    "a mask that takes nothing": "os.umask(0)",
    "other hashes": "os.environ['PYTHONHASHSEED'] = '7'",
    "other threads": "torch.set_num_threads(2); torch.set_num_threads(1)",
    "another folder": "import tempfile; os.chdir(tempfile.gettempdir())",
    "a decimal comma, if there is one": (
        "import locale\nfor name in ('de_DE.UTF-8', 'tr_TR.UTF-8', 'C'):\n"
        "    try: locale.setlocale(locale.LC_ALL, name); break\n    except locale.Error: pass"
    ),
}


@pytest.fixture(scope="module")
def trained(commands: Any, lines: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training in ordinary surroundings."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert commands.run(lines["single"].format(data=data, run=run, n=8).split())[0] == 0
    return run


@pytest.mark.parametrize("where", SURROUNDINGS)
def test_surroundings_change_nothing(
    commands: Any, lines: Any, data: Path, trained: Path, digests: Any, tmp_path: Path, where: str, tried: Any
) -> None:
    generate = [*lines["generate"].format(out=tmp_path / "d").split(), "--workers", "1"]
    assert commands.run(generate, SURROUNDINGS[where]) == (0, "")
    assert digests(tmp_path / "d") == digests(data)
    train = lines["single"].format(data=tmp_path / "d", run=tmp_path / "run", n=8).split()
    assert commands.run(train, SURROUNDINGS[where])[0] == 0
    assert digests(tmp_path / "run") == digests(trained)
    tried("clocks, locales, masks and folders that are odd, for generating and training", 1)


@pytest.mark.parametrize("locale", ["C", "tr_TR.UTF-8", "POSIX"])
def test_a_locale_without_letters(data: Path, digests: Any, tmp_path: Path, locale: str, tried: Any) -> None:
    """In a process of its own, because Python settles its encodings when it starts."""
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"PYTHONIOENCODING": "ascii:strict"}
    out = tmp_path / "Größe"
    line = "--num 40 --seed 4 --size 32 --renderer analytic --scenes-per-shard 8 --workers 1"
    for argv in (
        ["generate", "single", str(out), *line.split()],
        ["inspect", str(out)],
        ["inspect", str(out / "none")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "air3d", *argv], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert done.returncode == (2 if "none" in argv[1] else 0), done.stderr.decode()
    assert digests(out) == digests(data)
    tried("an ASCII locale and a folder called Größe", 3)


def test_odd_names(commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, tried: Any) -> None:
    whole, words = digests(data), lines["generate"].split()
    for name in ODD_NAMES:
        out = tmp_path / name
        code, printed = commands.run(["generate", "single", str(out), *words[3:], "--workers", "1"])
        assert (code, printed) == (0, ""), printed
        assert digests(out) == whole
        code, printed = commands.run(["inspect", str(out)])
        assert code == 0 and "Traceback" not in printed, printed
        train = lines["single"].split()
        argv = [word.format(data=out, run=tmp_path / f"{name[:90]} run", n=2) for word in train]
        assert commands.run(argv)[0] == 0
    tried("folders with odd names, for generating, inspecting and training", 3 * len(ODD_NAMES))


def test_links_and_folders_that_may_not_be_written(
    commands: Any, lines: Any, data: Path, digests: Any, tmp_path: Path, tried: Any
) -> None:
    words = lines["generate"].split()

    def generate(out: Path) -> tuple[int, str]:
        code, printed = commands.run(["generate", "single", str(out), *words[3:], "--workers", "1"])
        assert "Traceback" not in printed, printed
        return code, printed

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert generate(tmp_path / "link") == (0, "")
    assert (tmp_path / "link").is_symlink() and digests(tmp_path / "real") == digests(data)
    (tmp_path / "dangling").symlink_to("nowhere")
    assert generate(tmp_path / "dangling")[0] == 2
    (tmp_path / "loop").symlink_to("loop")
    assert generate(tmp_path / "loop")[0] == 2
    assert generate(Path("/proc/air3d"))[0] == 2
    assert generate(Path("/dev/null"))[0] == 2
    # A shard that is a link to elsewhere is replaced, and what it points to left alone.
    outside = tmp_path / "outside"
    outside.write_text("mine")
    shard = tmp_path / "real" / "shard-000001.tar"
    shard.unlink()
    shard.symlink_to(outside)
    assert generate(tmp_path / "real") == (0, "")
    assert outside.read_text() == "mine" and not shard.is_symlink() and digests(tmp_path / "real") == digests(data)
    cases = 6
    locked = tmp_path / "locked"
    locked.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(locked)]
    if os.getuid():
        locked.chmod(0o500)
    elif shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        tried("links, devices and folders that may not be written", cases)
        return
    try:
        for out in (locked, locked / "new"):
            assert generate(out)[0] == 2
        argv = lines["single"].format(data=data, run=locked / "run", n=2).split()
        code, printed = commands.run(argv)
        assert code == 2 and printed.count("\n") == 1, printed
    finally:
        subprocess.run(["chmod", "700", str(locked)] if os.getuid() else ["umount", str(locked)], check=True)
    tried("links, devices and folders that may not be written", cases + 3)


def test_two_at_once(
    commands: Any, lines: Any, data: Path, trained: Path, digests: Any, tmp_path: Path, tried: Any
) -> None:
    """Both start at the same moment: one does the work; the other says so in one line, or finds it done."""
    refused, rounds = 0, 4
    for k in range(rounds):
        generate = [*lines["generate"].format(out=tmp_path / f"d{k}").split(), "--workers", "1"]
        train = lines["single"].format(data=data, run=tmp_path / f"r{k}", n=8).split()
        for argv, made, expected in ((generate, f"d{k}", data), (train, f"r{k}", trained)):
            both = [commands.start(argv) for _ in range(2)]
            ended = [command.wait() for command in both]
            assert 0 in [code for code, _ in ended], ended
            for code, printed in ended:
                assert code in (0, 2) and "Traceback" not in printed, printed
                if code == 2:
                    refused += 1
                    errors = [line for line in printed.splitlines() if "error" in line]
                    assert len(errors) == 1 and "another" in errors[0], printed
            assert digests(tmp_path / made) == digests(expected)
    assert refused >= 1, "at least once they met"
    tried("two processes at once in one folder, generating and training", 2 * rounds)
