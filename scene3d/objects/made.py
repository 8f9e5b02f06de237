"""Remembers kinds made before by content: the facts of a kind under the digest of all that they depend on.

Reading a mesh takes a fraction of a second, making a kind of it many. So files are read every time, and their
content, not their names or dates, says whether the kind is there already.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import cache_folder, keep

_FOLDER = "made"
_MOST_BYTES = 1 << 20


def digest(*content: object) -> str:
    """Digest arrays by their bytes, all else by its repr; and the code that makes kinds, with its libraries.

    Args:
        content: everything that the result depends on.
    """
    found = hashlib.sha256(_maker())
    for part in content:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype} {part.shape}\n".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(f"{part!r}\n".encode())
    return found.hexdigest()


def recall(key: str) -> dict[str, Any] | None:
    """Return the facts that were kept under a digest; None if none were, or if they cannot be read."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / _FOLDER / f"{key}.json"
    try:
        data = json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def remember(key: str, facts: dict[str, Any]) -> None:
    """Keep facts under a digest, where something can be written."""
    with contextlib.suppress(InputError):
        keep({f"{_FOLDER}/{key}.json": json.dumps(facts).encode()})


@cache
def _maker() -> bytes:
    """The digests of this package's code and the versions of the libraries beneath it: they may change a kind."""
    names = ("coacd", "fast-simplification", "numpy", "pillow", "scipy", "trimesh")
    libraries = [f"{name} {_version(name)}" for name in names]
    here = Path(__file__).resolve().parent
    files = sorted(
        [
            *here.glob("*.py"),
            *here.parent.glob("*.py"),
            *here.parent.glob("meshes/*.py"),
            *here.parent.glob("families/*.py"),
        ]
    )
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return "\n".join([*libraries, *sums]).encode()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # an extra, without which some kinds cannot be made
        return "none"
