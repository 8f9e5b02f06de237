"""Checks the options of `reset`."""

from __future__ import annotations

from typing import Any

from air3d.scene3d.arguments import whole
from air3d.scene3d.errors import InputError, shown


def check_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the options, an empty mapping for None.

    Raises:
        InputError: for an option that is not known.
    """
    if options is not None and not isinstance(options, dict):
        raise InputError(f"reset: options is {shown(options)}; give a dict with some of {', '.join(known)}")
    for name in options or {}:
        if name not in known:
            raise InputError(f"reset: unknown option '{name}'; use {', '.join(known)}")
    return options or {}


def check_seed(seed: object) -> int | None:
    """Convert a whole number of any library to a seed as Gymnasium wants it; None stays None.

    Raises:
        InputError: for anything else.
    """
    return None if seed is None else whole("reset", "seed", seed, 0)
