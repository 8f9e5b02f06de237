"""Writes the page of an experiment, README.md, results.json and figures, from the results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from air3d.datasets.files import atomic_file
from experiments.kept import Result, made_by
from experiments.section import Section

FINDINGS = "findings.md"


class Entry(NamedTuple):
    """A section of a page.

    Attributes:
        part: its name for `--parts`.
        title: its heading.
        results: the results that are there.
        make: writes the section, if there are results.
        bulk: the keys, at any depth of a result, that only figures need.
    """

    part: str
    title: str
    results: list[Result]
    make: Callable[[list[Result]], Section]
    bulk: frozenset[str] = frozenset()


def write_entries(out: Path, introduction: str, command: str, entries: Sequence[Entry]) -> None:
    """Write the page into `out`; of FINDINGS there, if it exists, only the text is taken.

    Args:
        command: the command that makes a missing part, without `--parts`.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines, files, everything = [introduction], dict[str, bytes](), dict[str, list[Result]]()
    findings = out / FINDINGS
    if findings.exists():
        lines += ["## What it shows", "", findings.read_text(encoding="utf-8").strip(), ""]
    for entry in entries:
        lines += [f"## {entry.title}", ""]
        if not entry.results:
            lines += [f"Not run yet: `{command} --parts {entry.part}`.", ""]
            continue
        section = entry.make(entry.results)
        lines += [*section.lines, *made_by(entry.results), ""]
        files |= section.figures
        everything[entry.part] = [_without(result, entry.bulk) for result in entry.results]
    files["README.md"] = ("\n".join(lines).rstrip() + "\n").encode()
    files["results.json"] = (json.dumps(everything, indent=1, allow_nan=False) + "\n").encode()
    for name, data in files.items():
        with atomic_file(out / name) as file:
            file.write(data)


def _without(result: Result, keys: frozenset[str]) -> Result:
    def shorter(value: object) -> object:
        if isinstance(value, dict):
            return {key: shorter(part) for key, part in value.items() if key not in keys}
        return value

    return {key: shorter(value) for key, value in result.items() if key not in keys}
