"""Arguments changed at random: an answer, or exit code 2 and a message; never a traceback, a hang, a stray file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from air3d.cli.main import COMMANDS, main
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.scene_json import scene_to_json

ROOT = Path(__file__).parents[2]

# Large numbers that a command would be right to work on for long are left out: 400 digits are not such a number.
NASTY = (
    "-1", "0", "1", "3", "1.5", "1e3", "0x10", "NaN", "inf", "-inf", "", " ", "9" * 400, "1_0", "٣", "True", "None",
    "null", "[]", "{}", "--", "-", "---", "-h", "--help", "--seed", "--size", "--num", "--out", "--quiet", "--no-quiet",
    "--json", "--detail", "--renderer", "--renderer=analytic", "--size=16", "--kinds", "mug", "cube", "0/0", "1/1",
    "1/2", "/", "..", ".", "/dev/null", "/proc/self/mem", "\x01\x1b[31m", "é" * 300, "a\nb", "%s%n{}", "$(touch x)",
    "'", "\ud800",
)  # fmt: skip

LINES = (
    "render {scene} {out}/r.png --size 16 --renderer analytic --detail inference",
    "generate single {out}/d --num 3 --seed 0 --size 16 --renderer analytic --workers 1 --quiet",
    "generate tabletop {out}/t --num 2 --seed 0 --size 16 --renderer analytic --workers 1 --max-objects 1 --quiet",
    "inspect {data}",
    "infer single-object {picture} --out {out}/i --renderer analytic --json",
    "evaluate single-object --data {data} --renderer analytic --limit 1 --quiet",
    "train single --data {data} --run {out}/run --train.iterations 1 --renderer analytic --quiet",
)


@st.composite
def changed(draw: st.DrawFn, words: list[str]) -> list[str]:
    made = list(words)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(1, len(made)))
        how = draw(st.integers(0, 3))
        word = draw(st.sampled_from(NASTY) | st.text(st.characters(exclude_characters="\0"), max_size=5))
        if how == 0 and at < len(made):
            del made[at]
        elif how == 1:
            made.insert(at, word)
        elif at < len(made):
            made[at] = word
    return made


@pytest.fixture
def places(data: Path, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "scene.json").write_text(scene_to_json(Scene((SceneObject.upright("mug", 0.0, 0.0),))))
    Image.fromarray(SceneDataset(data)[0]["image"]).save(tmp_path / "picture.png")
    folder = shutil.copytree(data, tmp_path / "data")
    return {
        "scene": tmp_path / "scene.json", "picture": tmp_path / "picture.png", "out": tmp_path / "out", "data": folder
    }  # fmt: skip


def check(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code = main(argv)
    captured = capsys.readouterr()
    assert code in (0, 1, 2), argv
    assert "Traceback" not in captured.err, argv
    if code == 2:
        assert captured.err.strip() or captured.out.strip(), f"refused without a word: {argv}"


@pytest.mark.parametrize("line", LINES, ids=[line.split()[0] + " " + line.split()[1] for line in LINES])
def test_arguments(
    places: dict[str, Path],
    sealed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    tried: Any,
) -> None:
    words = [word.format(**places) for word in line.split()]
    monkeypatch.chdir(tmp_path)  # where words that happen to be names of files lead to
    check(capsys, words)  # what libraries cache when they are used first is written now
    count = 50

    @settings(
        max_examples=count, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None
    )
    @given(changed(words))
    def arguments(argv: list[str]) -> None:
        shutil.rmtree(places["out"], ignore_errors=True)
        with sealed(tmp_path):
            check(capsys, argv)

    arguments()
    tried("command lines, changed at random", count)


def test_every_command_refuses_what_it_does_not_know(
    sealed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tried: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    tails = (["--no-such-option", "1"], ["\x01"], ["--quiet", "--quiet", "--quite"], ["-" * 3000])
    for command in COMMANDS:
        for tail in tails:
            with sealed(tmp_path):
                code = main([*command.name.split(), *tail])
            assert code == 2, (command.name, tail)
            assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    tried("unknown options for every command", len(tails) * len(COMMANDS))
