"""The one exception that means that the user gave something unusable."""

from __future__ import annotations

import reprlib


class InputError(ValueError):
    """Bad input from outside: a file, an argument, a configuration value.

    The message is one line that names the thing, the value and the remedy. The command
    line prints it without a traceback and exits with code 2.
    """


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_LONGEST = 160


def shown(value: object) -> str:
    """Shorten the `repr` of a value from outside, however long or deep, to fit on the line of an InputError."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except ValueError:  # Python refuses to print an integer of thousands of digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
