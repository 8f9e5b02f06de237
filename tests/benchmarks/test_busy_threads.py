"""What torch's threads are worth beside busy processes: the part that is measured."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch


def test_a_server_trains_as_long_as_it_is_told(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("0.01\n0.02\n"))
    before = torch.get_num_threads()
    try:
        assert script("busy_threads").main(["--threads", "1"]) == 0
    finally:
        torch.set_num_threads(before)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and all(row["images_per_second"] > 0 for row in rows)


def test_busy_processes_end_with_the_block(script: Callable[[str], ModuleType]) -> None:
    with pytest.raises(ZeroDivisionError), script("busy_threads").busy(1):
        raise ZeroDivisionError
