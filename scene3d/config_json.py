"""Frozen config dataclasses to plain JSON values and back, strictly: an unknown or missing field is an error."""

from __future__ import annotations

from typing import Any, TypeVar

import cattrs
from cattrs.strategies import configure_union_passthrough

from scene3d.errors import InputError

_Config = TypeVar("_Config")

_CONVERTER = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=False)
configure_union_passthrough(int | float | str | bool | None, _CONVERTER)


def config_to_dict(config: object) -> dict[str, Any]:
    """A config dataclass (nested ones too) as JSON values; tuples become lists."""
    plain = _lists(_CONVERTER.unstructure(config))
    assert isinstance(plain, dict)
    return plain


def config_from_dict(cls: type[_Config], data: object, what: str) -> _Config:
    """The inverse of `config_to_dict`; `what` names the source in errors.

    Raises:
        InputError: one line that names the first field at fault.
    """
    if not isinstance(data, dict):
        raise InputError(f"{what}: expected a JSON object, found {type(data).__name__}")
    if missing := _missing(cls, data):
        raise InputError(f"{what}: field '{missing}' is missing")
    try:
        return _CONVERTER.structure(data, cls)
    except cattrs.ClassValidationError as error:
        raise InputError(f"{what}: {_first_line(error)}") from None
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise InputError(f"{what}: {' '.join(str(error).split())}") from None


def _missing(cls: type, data: dict[str, Any]) -> str | None:
    """Name of the first absent field: what was saved is complete, so defaults would hide damage."""
    return next((name for name in getattr(cls, "__dataclass_fields__", {}) if name not in data), None)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (tuple, list)) else value


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        notes = " ".join(getattr(error.exceptions[0], "__notes__", []))
        inner = error.exceptions[0]
        if not isinstance(inner, BaseExceptionGroup):
            return " ".join(f"{inner} {notes}".split())
        error = inner
    return " ".join(str(error).split())
