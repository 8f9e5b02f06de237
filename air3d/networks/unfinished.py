"""Refuses runs that have no model yet, and says how to finish them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from air3d.scene3d.errors import InputError

RUN_CONFIG = "run.json"
CHECKPOINTS = ("checkpoint.safetensors", "checkpoint-previous.safetensors")
"""The last one, and the one before it."""


def refuse_unfinished(folder: Path) -> None:
    """Raise InputError if a folder is that of a run: it says how far the run is and how to go on."""
    if os.path.isfile(folder / RUN_CONFIG):  # unlike Path.is_file, False for a name that is too long
        raise InputError(
            f"{folder}: this run is not finished ({_progress(folder)}), and its model is written at its end; repeat "
            "its 'air3d train' command to go on"
        )


def _progress(folder: Path) -> str:
    total = _total(folder)
    of = f" of {total}" if total else ""
    for name in CHECKPOINTS:
        try:
            with safe_open(folder / name, "numpy") as checkpoint:
                return f"its checkpoint is of iteration {int(checkpoint.get_tensor('iteration'))}{of}"
        except (OSError, SafetensorError, ValueError, TypeError):
            continue
    return f"it has no checkpoint{f' of its {total} iterations' if total else ''} yet"


def _total(folder: Path) -> int:
    try:
        config = json.loads((folder / RUN_CONFIG).read_text(encoding="utf-8"))["train"]
        return int(config["iterations"] if "iterations" in config else config["train"]["iterations"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
