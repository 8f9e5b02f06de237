"""Reads TOML files that a user has written, with one clear line for what cannot be read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from air3d.scene3d.errors import InputError


def read_toml(path: Path, most_bytes: int, large_for: str, describes: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        most_bytes: the largest file that is read.
        large_for, describes: the words for what the file is and describes, in errors.

    Raises:
        InputError: if it cannot be read, is too large or is something else.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise InputError(f"{path}: {path.stat().st_size} bytes is too large for {large_for}")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a TOML file that describes {describes}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({' '.join(str(error).split())})") from None
