"""Shared by the commands of `air3d reproduce`: where results are kept, and how the page comes about."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from air3d.cli.progress import say
from air3d.datasets.provenance import provenance
from air3d.scene3d.errors import InputError
from experiments.kept import Kept
from experiments.page import RESULTS, Page


def kept_in(page: Page, out: Path, quick: bool) -> Kept:
    """The results of an experiment in a folder, with the command as it was typed."""
    typed = f"air3d {shlex.join(sys.argv[1:])}"
    command = typed if sys.argv[1:2] == ["reproduce"] else page.command
    return Kept(out / ("work-quick" if quick else "work"), {"command": command, **provenance()}, say)


def check_parts(page: Page, parts: tuple[str, ...]) -> None:
    """Raise InputError if no part is named."""
    if not parts:
        known = ", ".join(entry.part for entry in page.entries)
        raise InputError(f"reproduce: --parts names none; choose from {known}")


def write_page(page: Page, out: Path, kept: Kept) -> int:
    """Write the page from all that is there; return 0, a command's success."""
    page.write(out, kept)
    say(f"wrote {out / 'README.md'}, {out / RESULTS} and {out / 'report.html'}")
    return 0
