"""Compiles loops with numba; keeps them on disk for the next process where that can be written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

from air3d.scene3d.cache_folder import refusal, writable_cache


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile with numba's `njit` and these options; keep the result beside the code or else in a cache folder.

    The variable NUMBA_CACHE_DIR names another place for it, as always. If nothing can be written, or the disk is
    full, that is no error: the next process compiles the loop again.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        made = numba.njit(**options)(function)
        settings: Any = numba.config
        before = settings.CACHE_DIR
        places = (before, Path(function.__code__.co_filename).parent / "__pycache__")
        if any(place and refusal(Path(place)) is None for place in places):
            made._cache = _ForgivingCache(function)
        elif (folder := writable_cache("numba")) is not None:
            settings.CACHE_DIR = str(folder)  # asked for only while the cache is made
            made._cache = _ForgivingCache(function)
            settings.CACHE_DIR = before
        return made

    return decorate


class _ForgivingCache(FunctionCache):
    # A full disk, or a file cut off by one, would else fail whoever calls the loop.
    def load_overload(self, *args: Any) -> Any:
        with contextlib.suppress(Exception):
            return super().load_overload(*args)
        return None

    def save_overload(self, *args: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(*args)
