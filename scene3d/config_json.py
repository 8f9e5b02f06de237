"""Converts frozen config dataclasses to plain JSON values and back, strictly.

An unknown field, a missing one (at any depth: what was saved is complete, so a default would hide damage) or a
value of another type than the field's is an error; nothing is converted but whole numbers where floats are meant.
A field with `metadata=ADDED` came after files without it had been saved; there it has its default. One with
`metadata=LATER` is, besides, not written where it has its default, so that files and fingerprints stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_union_passthrough

from air3d.scene3d.errors import InputError, shown

ADDED = {"added": True}
LATER = ADDED | {"unwritten": True}

_Config = TypeVar("_Config")
_Hook = Callable[[Any, Any], Any]

_CONVERTER = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=False)


def config_to_dict(config: object) -> dict[str, Any]:
    """Convert a config dataclass (nested ones too) to JSON values; tuples become lists."""
    plain = _lists(_CONVERTER.unstructure(config))
    assert isinstance(plain, dict)
    return plain


def config_from_dict(cls: type[_Config], data: object, what: str) -> _Config:
    """The inverse of `config_to_dict`; `what` names the source in errors.

    Raises:
        InputError: if a field is at fault; the line names the first.
    """
    try:
        return _CONVERTER.structure(data, cls)
    except (cattrs.BaseValidationError, InputError) as error:
        message, _, path = cattrs.transform_error(error, "", lambda e, _: str(e))[0].rpartition(" @ ")
        where = f"{what}: {path.removeprefix('.')}" if path else what
        raise InputError(f"{where}: {' '.join(message.split())}") from None
    except RecursionError:
        raise InputError(f"{what}: nested too deeply") from None


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (tuple, list)) else value


def _plain(cls: type, name: str) -> _Hook:
    def structure(value: Any, _: Any) -> Any:
        whole = cls is float and type(value) is int and abs(value) <= 2**1000
        if type(value) is not cls and not whole:
            raise InputError(f"must be {name}, not {shown(value)}")
        return cls(value)

    return structure


def _dataclass(cls: Any) -> _Hook:
    structure = make_dict_structure_fn(cls, _CONVERTER, _cattrs_forbid_extra_keys=True)
    names = [f.name for f in fields(cls)]
    needed = [f.name for f in fields(cls) if not f.metadata.get("added")]

    def complete(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise InputError(f"expected a JSON object, found {type(value).__name__}")
        if missing := [name for name in needed if name not in value]:
            raise InputError(f"field '{missing[0]}' is missing")
        if unknown := [key for key in value if key not in names]:
            raise InputError(f"unknown field {shown(unknown[0])}; known fields are {', '.join(names)}")
        return structure(value, cls)

    return complete


def _written(cls: Any) -> Any:
    later = {f.name: override(omit_if_default=True) for f in fields(cls) if f.metadata.get("unwritten")}
    return make_dict_unstructure_fn(cls, _CONVERTER, **later)  # type: ignore[arg-type]


def _number_or_pair(value: Any, _: Any) -> Any:
    if not isinstance(value, (int, list)):
        raise InputError(f"must be a whole number or a list of two, not {shown(value)}")
    return _CONVERTER.structure(value, tuple[int, int] if isinstance(value, list) else int)


def _is_choice(cls: Any) -> bool:
    args = get_args(cls)
    return isinstance(cls, UnionType) and all(is_dataclass(arg) for arg in args)


def _choice(cls: Any) -> _Hook:
    """Tell dataclasses apart by their fields: it is the first that has all which are there, else the very first."""
    choices = {choice: {f.name for f in fields(choice)} for choice in get_args(cls)}

    def structure(value: Any, _: Any) -> Any:
        found = set(value) if isinstance(value, dict) else set()
        fitting = [choice for choice, own in choices.items() if found <= own]
        return _CONVERTER.structure(value, (fitting or list(choices))[0])

    return structure


def _is_tuple(cls: Any) -> bool:
    origin: Any = get_origin(cls)
    return origin is tuple


def _tuple(cls: Any) -> _Hook:
    args = get_args(cls)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise InputError(f"must be a list, not {shown(value)}")
        types = args[:1] * len(value) if args[1:] == (...,) else args
        if len(types) != len(value):
            raise InputError(f"must hold {len(types)} values, not {len(value)}")
        return tuple(_CONVERTER.structure(item, item_type) for item, item_type in zip(value, types, strict=True))

    return structure


configure_union_passthrough(int | float | str | bool | None, _CONVERTER)
for _type, _name in ((int, "a whole number"), (float, "a number"), (str, "a text"), (bool, "true or false")):
    _CONVERTER.register_structure_hook(_type, _plain(_type, _name))
_CONVERTER.register_structure_hook_factory(is_dataclass, _dataclass)
_CONVERTER.register_unstructure_hook_factory(is_dataclass, _written)
_CONVERTER.register_structure_hook_factory(_is_tuple, _tuple)
_CONVERTER.register_structure_hook(int | tuple[int, int], _number_or_pair)
_CONVERTER.register_structure_hook_factory(_is_choice, _choice)
