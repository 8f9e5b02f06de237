"""The 2D track's speed beside its rivals': rounds are compared one by one, and what is missing is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

Script = Callable[[str], ModuleType]


def test_ratios_are_those_of_rounds(script: Script) -> None:
    """A machine that is three times as slow in the second round slows both down: the ratios do not see it."""
    rates = {"rival": [30.0, 10.0, 30.0], "exact": [150.0, 40.0, 120.0]}
    rows = script("digits_speed").table(rates, ["rival"])
    assert rows["exact"] == {
        "images_per_second": 120.0,
        "rounds": 3,
        "times": {"rival": {"median": 4.0, "min": 4.0, "max": 5.0}},
    }
    assert rows["rival"]["times"]["rival"] == {"median": 1.0, "min": 1.0, "max": 1.0}


def test_variants_take_turns_on_the_same_images(script: Script) -> None:
    """By a clock that each step moves on by what it costs."""
    now, seen = [0.0], []

    def variant(name: str, cost: float) -> Callable[[torch.Tensor, int], None]:
        def step(images: torch.Tensor, batch: int) -> None:
            now[0] += cost
            seen.append((name, id(images)))

        return step

    images = torch.zeros(3, 50, 50)
    variants = {"slow": variant("slow", 2.0), "fast": variant("fast", 0.5)}
    rates = script("digits_speed").measure(variants, images, 8, 0.01, 1.0, lambda: now[0])
    assert set(rates["slow"]) == {4.0} and set(rates["fast"]) == {16.0}
    assert len(rates["slow"]) == len(rates["fast"])
    order = [name for name, _ in seen[16:]]
    assert order == ["slow", "slow", "fast", "fast"] * len(rates["slow"])
    assert {picture for _, picture in seen} == {id(images)}


def test_table_and_json(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # what other tests run with stays
    path = tmp_path / "rows.json"
    few = ["--seconds", "0.01", "--round", "0.01", "--threads", "1", "--batch", "4", "--json", str(path)]
    assert script("digits_speed").main(few) == 0
    found = json.loads(path.read_text())
    assert (found["threads"], found["clock"]) == (1, "of the processor") and len(found["commit"]) >= 12
    assert list(found["rows"]) == ["step by step", "nvil", "exact", "exact bfloat16"]
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{printed}" for name in found["rows"])


def test_what_is_missing_is_named(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    for name in ("pyro", "pyro.infer"):
        monkeypatch.setitem(sys.modules, name, None)
    assert script("digits_speed").main(["--pyro-example", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "digits_speed: --pyro-example needs Pyro: pip install pyro-ppl==1.9.1\n"
