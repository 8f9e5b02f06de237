"""The types of arguments that may be left out, named after the word that `--help` shows for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
OptionalFolder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
OptionalModel = Annotated[str | None, tyro.conf.arg(metavar="MODEL")]
OptionalNumber = Annotated[int | None, tyro.conf.arg(metavar="N")]
