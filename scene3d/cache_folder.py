"""Finds places for caches: the user's cache folder or, where that cannot be written, a temporary folder of the user's.

A cache saves work and is never needed: where nothing can be written, `writable_cache` gives None, and what would
be kept is made anew or stays in memory. So reading works for a user without a home, and on a read-only disk.
"""

from __future__ import annotations

import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")


def cache_places(name: str, named: str | None = None) -> tuple[Path, ...]:
    """List the places where a cache may be, the best first; none need exist, or be writable.

    Args:
        name: the name of the cache, a relative path, for instance "objects".
        named: the folder that the user has chosen for it instead of the one in the cache folder; None or "" for none.

    Returns:
        `named`, else `air3d/NAME` in $XDG_CACHE_HOME, else in ~/.cache, unless there is no home; and then `NAME` in
        folders `air3d-UID` that belong to this user alone, in $TMPDIR and in the system's own folders for such files.
    """
    cache = user_cache()
    first = Path(named) if named else cache and cache / "air3d" / name
    own = [Path(root, f"air3d-{os.geteuid()}") for root in (os.environ.get("TMPDIR"), *_TEMPORARY) if root]
    return (*([first] if first else []), *(path / name for path in dict.fromkeys(own)))


def writable_cache(name: str, named: str | None = None) -> Path | None:
    """Find the first of `cache_places` that can be written, made if missing; None if there is none.

    The answer is kept for the life of the process while the environment stays the same.
    """
    return _first_writable(cache_places(name, named))


def user_cache() -> Path | None:
    """The user's cache folder for all programs: $XDG_CACHE_HOME, else ~/.cache; None for a user without a home."""
    cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    if os.path.isabs(cache):  # its specification says so
        return Path(cache)
    return Path(home, ".cache") if os.path.isabs(home) else None


def stand_in(name: str) -> Path | None:
    """Find another place for a library's cache, called `name` in the user's folder, if it cannot be written there.

    It is None if that can be written, or if nothing can be written at all.
    """
    cache = user_cache()
    return writable_cache(name) if cache is None or refusal(cache / name) is not None else None


@lru_cache(maxsize=64)
def _first_writable(places: tuple[Path, ...]) -> Path | None:
    return next((path for path in places if refusal(path) is None), None)


def refusal(folder: Path) -> str | None:
    """Say why a folder cannot be made or written; None if it can. It is tried: permissions do not tell all."""
    try:
        for parent in (folder, *folder.parents):
            if parent.name == f"air3d-{os.geteuid()}":
                _make_own(parent)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _make_own(folder: Path) -> None:
    """Make a folder where others may write too; one that is there must belong to this user, and be closed to others."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(0, "belongs to others") from None
