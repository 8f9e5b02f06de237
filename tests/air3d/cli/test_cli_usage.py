"""The likeliest slips on the command line are answered by what to type instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from air3d.cli.main import main


@pytest.mark.parametrize(
    "line, words",
    [
        (
            "generate tabletop --num 3 --kinds mug plate out --seed 1",
            "--kinds took 'out', as it takes all words up to the next option, and no FOLDER is left; "
            "put it first: air3d generate tabletop out --kinds mug plate",
        ),
        ("generate tabletop --kinds out --num 3 --seed 1", "put it first: air3d generate tabletop out\n"),
        ("generate single --kinds cube out --num 1 --seed 1", "--kinds took 'out'"),
        ("generate digits --counts 0 1 out --num 5 --seed 3", "--counts took 'out'"),
        (
            "generate tabletop out --num 3 --size 320,240 --seed 1",
            "--size '320,240': write a side, 64, or WIDTHx",
        ),
        ("generate tabletop out --num 3 --size 320 240 --seed 1", "--size 320 240: write 320x240"),
        ("bench render --sizes 64 32x32", "--sizes 32x32: pictures are square: give one number each"),
        ("bench render --sizes 64 big", "--sizes big: give whole numbers"),
        ("generate tabletop out --num 1e3 --seed 1", "--num 1e3: give a whole number"),
        ("generate tabletop out --num 3 --seed 1 --min-visible half", "--min-visible half: give a number"),
        ("generate tabletop out --num 3 --seed 1 --kinds mug,plate", "name each kind by itself, without commas"),
        ("generate tabletop out --num 3 --seed 1 --renderer rastr", "--renderer rastr: did you mean 'raster'?"),
        ("generate tabletop --out o --num 3 --seed 1", "--out: FOLDER goes without the option's name"),
        ("infer --model tabletop a.png --out o", "--model: MODEL goes without the option's name"),
        ("infer tabletop --images a.png --out o", "air3d infer MODEL IMAGE..."),
        ("infer a.png tabletop --out o", "'a.png' stands in the model's place; name a model first"),
        ("infer a.png --out o", "'a.png' stands in the model's place; name a model first"),
    ],
)
def test_what_to_type_instead(
    line: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_another_prior_is_named_by_its_fields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make = "generate tabletop data --num 1 --seed 0 --min-objects 1 --kinds mug --renderer analytic --workers 1 --quiet"
    assert main(make.split()) == 0
    assert main(["evaluate", "tabletop", "--data", "data", "--renderer", "raster"]) == 0
    said = capsys.readouterr().err
    assert "another prior than the model's: kinds is ['mug'], not ['mug', 'plate', 'bowl'], min_objects is 1" in said
    assert said.count("\n") == 1, "measured all the same"
