"""`--json FILE`: writes the numbers of a command for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from air3d.datasets.files import atomic_file
from air3d.scene3d.errors import InputError


def check_json_file(path: Path | None) -> None:
    """Raise InputError, before the work begins, if the numbers cannot be written there."""
    if path is not None and path.is_dir():
        raise InputError(f"{path} is a folder; name a file for the numbers")


def write_json(path: Path | None, numbers: dict[str, Any]) -> None:
    """Write the numbers, if a file was named. JSON has no NaN, so unknown numbers must be None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write((json.dumps(numbers, indent=2, allow_nan=False) + "\n").encode())
