"""The types of arguments that may be left out, named after the word that `--help` shows for them; words read early."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated

import tyro

OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
OptionalFolder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
OptionalModel = Annotated[str | None, tyro.conf.arg(metavar="MODEL")]
OptionalNumber = Annotated[int | None, tyro.conf.arg(metavar="N")]


def typed_word(option: str, argv: list[str]) -> str | None:
    """The value typed for an option, if there is one: what other options' defaults depend on is read before them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(option, dest="value", nargs="?")
    value: str | None = parser.parse_known_args(argv)[0].value
    return value
