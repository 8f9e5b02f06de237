"""Says in one line what is wrong with a command line and what to type, where tyro's own message is unclear."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import tyro

from air3d.scene3d.errors import InputError

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]
_SQUARE = "pictures are square: give one number, the side in pixels"


class _Argument(NamedTuple):
    """An argument of a command.

    Attributes:
        option: the text that is typed, "--out"; for a positional argument its name in the usage, "FOLDER".
        field: the name of its field in the dataclass.
        positional: whether its place tells which argument it is.
        greedy: whether it takes all words up to the next option.
    """

    option: str
    field: str
    positional: bool
    greedy: bool


def explain(complaint: str, argv: Sequence[str], arguments: type, prog: str) -> None:
    """Raise InputError if what tyro complains about is a slip that is known here.

    Args:
        complaint: the text that tyro printed.
        argv: the words after the command.
        arguments: the dataclass of the command.
        prog: the words that call the command.
    """
    line = " ".join(re.sub("[\u2500-\u257f]", " ", complaint).split())
    known = [_argument(arguments, field.name) for field in fields(arguments)]
    _misspelt_choice(line)
    _no_number(line, argv)
    _named_positional(argv, known, prog)
    _swallowed(line, argv, known, prog)


def _misspelt_choice(line: str) -> None:
    found = re.search(r"invalid choice '([^']*)' for argument '([^']*)'\. Expected one of \(([^)]*)\)", line)
    if found is None:
        return
    value, option, choices = found[1], found[2], re.findall(r"'([^']*)'", found[3])
    near = difflib.get_close_matches(value, choices, n=1)
    if near:
        raise InputError(f"{option} {value}: did you mean '{near[0]}'? The choices are {', '.join(choices)}")


def _no_number(line: str, argv: Sequence[str]) -> None:
    if found := re.search(r"Error parsing (\S+): invalid literal for int\(\) with base 10: '([^']*)'", line):
        option, value = found[1], found[2]
        raise InputError(f"{option} {value}: {_SQUARE if _is_size(option, value) else 'give a whole number'}")
    if found := re.search(r"Error parsing (\S+): could not convert string to float: '([^']*)'", line):
        raise InputError(f"{found[1]} {found[2]}: give a number")
    if found := re.search(r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*?)\]", line):
        words = re.findall(r"'([^']*)'", found[2])
        wrong = next((word for word in words if not re.fullmatch(r"-?\d+", word)), None)
        if wrong is not None and "INT" in line:
            advice = _SQUARE.replace("one number", "one number each") if _is_size(found[1], wrong) else "whole numbers"
            raise InputError(f"{found[1]} {wrong}: {advice if ':' in advice else f'give {advice}'}")
    for option, first, second in zip(argv, argv[1:], argv[2:], strict=False):
        if option == "--size" and first.isdigit() and second.isdigit() and f"Unrecognized options: {second}" in line:
            raise InputError(f"{option} {first} {second}: write {first}x{second}")


def _is_size(option: str, value: str) -> bool:
    return "size" in option and re.fullmatch(r"\d+[^\d.]+\d+", value) is not None


def _named_positional(argv: Sequence[str], known: Sequence[_Argument], prog: str) -> None:
    """Catch a positional argument that was typed with its name before it."""
    options = {argument.option for argument in known if not argument.positional}
    places = " ".join(argument.option for argument in known if argument.positional)
    for word in argv:
        option = word.split("=")[0]
        for argument in known:
            names = (f"--{argument.field.replace('_', '-')}", f"--{argument.option.lower()}")
            if argument.positional and option in names and option not in options:
                raise InputError(f"{option}: {argument.option} goes without the option's name: {prog} {places}")


def _swallowed(line: str, argv: Sequence[str], known: Sequence[_Argument], prog: str) -> None:
    """Catch a positional argument typed behind an option that takes all words that follow."""
    missing = next((a for a in known if a.positional and not a.greedy), None)
    if missing is None or not re.search(rf"Missing from .*?: .*?{re.escape(missing.option)} ", line):
        return
    for argument in known:
        if argument.positional or not argument.greedy or argument.option not in argv:
            continue
        start = argv.index(argument.option) + 1
        taken = next((i for i in range(start, len(argv)) if argv[i].startswith("--")), len(argv))
        if taken > start:
            last, rest = argv[taken - 1], argv[start : taken - 1]
            better = " ".join([prog, last, *([argument.option, *rest] if rest else [])])
            raise InputError(
                f"{argument.option} took '{last}', as it takes all words up to the next option, and no "
                f"{missing.option} is left; put it first: {better}"
            )


def _argument(arguments: type, name: str) -> _Argument:
    hint = get_type_hints(arguments, include_extras=True)[name]
    marks: list[Any] = []
    while hasattr(hint, "__metadata__"):
        marks += hint.__metadata__
        hint = hint.__origin__
    positional = _POSITIONAL in marks
    metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), name.upper())
    greedy = get_origin(hint) is tuple and get_args(hint)[-1:] == (...,)
    return _Argument(metavar if positional else f"--{name.replace('_', '-')}", name, positional, greedy)
