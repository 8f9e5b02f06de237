"""The options of `reset`."""

from __future__ import annotations

from typing import Any

from scene3d.errors import InputError


def check_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """The options, none if None.

    Raises:
        InputError: for one that is not known.
    """
    for name in options or {}:
        if name not in known:
            raise InputError(f"reset: unknown option '{name}'; use {', '.join(known)}")
    return options or {}
