"""Finds a file that another file names as its author's machine wrote it: backslashes, other case, a lost folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def found_file(name: str, folders: Iterable[Path]) -> Path | None:
    """Find the file of this name, relative to one of the folders; else one called alike there; None if there is none.

    Backslashes separate as slashes do, upper and lower case count as the same, and a path that does not exist here
    stands for its last part.
    """
    plain = name.strip().strip("\"'").replace("\\", "/")
    if not plain or "\0" in plain:
        return None
    folders = list(folders)
    for wanted in dict.fromkeys((plain, plain.rpartition("/")[2])):
        for folder in folders:
            path = _in_any_case(folder, wanted)
            if path is not None:
                return path
    return None


def _in_any_case(folder: Path, name: str) -> Path | None:
    if os.path.isfile(folder / name):
        return folder / name
    if name.startswith("/"):
        return None
    at = folder
    for part in name.split("/"):
        if part in ("", ".", ".."):
            at = at / part
            continue
        try:
            alike = sorted(entry for entry in os.listdir(at) if entry.casefold() == part.casefold())
        except OSError:
            return None
        if not alike:
            return None
        at = at / (part if part in alike else alike[0])
    return at if at.is_file() else None
