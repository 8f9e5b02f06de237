"""Converts the arguments that Python programs naturally pass: numpy's numbers to Python's, lists to tuples."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from air3d.scene3d.errors import InputError, shown

Vec3 = tuple[float, float, float]

MAX_LENGTH_M = 1000.0
_DEEPEST = 8  # lists within lists; JSON from outside may be deeper
_PLAIN = frozenset({float, int, str, bool, type(None)})


def natural(value: Any, depth: int = _DEEPEST) -> Any:
    """Convert a number, list, array or tensor to Python's own numbers and tuples; all else is left as it is."""
    if type(value) in _PLAIN or (type(value) is tuple and _PLAIN.issuperset(map(type, value))):
        return value
    if hasattr(value, "__dataclass_fields__"):  # scenes hold many
        return value
    if hasattr(value, "tolist") and hasattr(value, "ndim"):  # numpy's arrays and numbers, torch's tensors
        value = value.tolist()
    if depth and (type(value) in (list, tuple) or isinstance(value, Iterator)):
        return tuple(natural(part, depth - 1) for part in value)
    return value


def tidy(item: Any) -> None:
    """Make every field of a frozen dataclass `natural`; the dataclass calls this first when it validates itself."""
    for name in item.__dataclass_fields__:
        value = getattr(item, name)
        if type(value) in _PLAIN:  # most are
            continue
        neat = natural(value)
        if neat is not value:
            object.__setattr__(item, name, neat)


def check_number(owner: str, name: str, value: object, low: float, high: float) -> None:
    """Raise InputError unless `value` is a real number in [low, high]."""
    if type(value) is float and low <= value <= high:  # most are
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{owner}: {name} must be a number, not {shown(value)}")
    if not low <= value <= high:  # never true of NaN
        raise InputError(f"{owner}: {name} is {shown(value)}; it must be a finite number from {low:g} to {high:g}")


def check_vector(owner: str, name: str, value: object, low: float, high: float, length: int = 3) -> None:
    """Raise InputError unless `value` is a tuple of so many real numbers in [low, high]."""
    if not isinstance(value, tuple) or len(value) != length:
        raise InputError(f"{owner}: {name} must hold {length} numbers, not {shown(value)}")
    for part in value:
        if type(part) is not float or not low <= part <= high:
            check_number(owner, name, part, low, high)


def whole(owner: str, name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Convert a whole number of whatever library; it has to lie in [low, high] if they are given.

    Raises:
        InputError: for anything else.
    """
    number = natural(value)
    inside = type(number) is int and (low is None or low <= number) and (high is None or number <= high)
    if not inside:
        bounds = "" if low is None else f" from {low}" + ("" if high is None else f" to {high}")
        raise InputError(f"{owner}: {name} is {shown(value)}; use a whole number{bounds}")
    return int(number)


def check_flag(owner: str, name: str, value: object) -> None:
    """Raise InputError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{owner}: {name} is {shown(value)}; use True or False")


def check_is(owner: str, name: str, value: object, kind: type) -> None:
    """Raise InputError unless `value` is of this class."""
    if not isinstance(value, kind):
        raise InputError(f"{owner}: {name} is {shown(value)}; give a {kind.__name__}")


def names(owner: str, name: str, value: Any) -> tuple[str, ...]:
    """Convert one name or several to a tuple.

    Raises:
        InputError: for anything else.
    """
    value = natural(value)
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, tuple) or not all(isinstance(part, str) for part in found):
        raise InputError(f"{owner}: {name} is {shown(value)}; give a list of names")
    return found


def as_path(owner: str, value: object) -> Path:
    """Convert a text or a Path to a Path.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{owner} is {shown(value)}; give a path")
    return Path(os.fsdecode(value))
