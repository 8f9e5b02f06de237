"""Writes the page of an experiment: README.md, results.jsonl and figures, from the results that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

from air3d.datasets.files import atomic_file
from air3d.evaluation.html_page import html_page, png_uri
from experiments.kept import Kept, Result, made_by

FINDINGS, RESULTS = "findings.md", "results.jsonl"

Results = Mapping[str, list[Result]]  # the results of an experiment, by part


@dataclass
class Section:
    """The section of a page that is being written.

    Attributes:
        lines: its lines of Markdown.
        figures: draw its files, by name.
    """

    lines: list[str] = field(default_factory=list)
    figures: dict[str, Callable[[], bytes]] = field(default_factory=dict)

    def text(self, *lines: str) -> None:
        """Add a paragraph or a table."""
        self.lines += [*lines, ""]

    def figure(self, name: str, draw: Callable[[], bytes], alt: str) -> None:
        """Add a picture with words for those who do not see it; `draw` may need what only the work folder holds."""
        self.figures[name] = draw
        self.text(f"![{alt}]({name})")


class Entry(NamedTuple):
    """A part of an experiment as the page shows it.

    Attributes:
        part: its name for `--parts`.
        title: its heading.
        section: writes its section from the results of all parts, if there are any of its own.
    """

    part: str
    title: str
    section: Callable[[Results, Kept], Section]


class Page(NamedTuple):
    """The page of an experiment.

    Attributes:
        introduction: its title and first paragraph.
        command: the command that makes a missing part, without `--parts`.
        entries: its parts in their order.
        bulk: the keys, at any depth of a result, that only figures need; they are not published.
    """

    introduction: str
    command: str
    entries: tuple[Entry, ...]
    bulk: frozenset[str] = frozenset()

    def write(self, out: Path, kept: Kept) -> None:
        """Write the page, its figures and its results into `out`; a FINDINGS there is put into the page."""
        out.mkdir(parents=True, exist_ok=True)
        results = {entry.part: kept.results(entry.part) for entry in self.entries}
        text, figures = self.text(results, kept, out / FINDINGS)
        lines = [
            json.dumps({"part": part, **_without(run, self.bulk)}, allow_nan=False, separators=(",", ":")) + "\n"
            for part, runs in results.items()
            for run in runs
        ]
        files = {name: draw() for name, draw in figures.items()}
        for name, data in (files | {RESULTS: "".join(lines).encode(), "README.md": text.encode()}).items():
            with atomic_file(out / name) as file:
                file.write(data)
        write_report(out)

    def text(self, results: Results, kept: Kept, findings: Path) -> tuple[str, dict[str, Callable[[], bytes]]]:
        """Write README.md from results, published ones too; also return what draws its figures."""
        lines, figures = [self.introduction], dict[str, Callable[[], bytes]]()
        if findings.exists():
            lines += ["## What it shows", "", findings.read_text(encoding="utf-8").strip(), ""]
        for part, title, make in self.entries:
            lines += [f"## {title}", ""]
            runs = results.get(part)
            if not runs:
                lines += [f"Not run yet: `{self.command} --parts {part}`.", ""]
                continue
            section = make(results, kept)
            lines += [*section.lines, *made_by(runs), ""]
            figures |= section.figures
        return "\n".join(lines).rstrip() + "\n", figures


def read_results(path: Path) -> dict[str, list[Result]]:
    """Read published results, a run a line, by part."""
    found: dict[str, list[Result]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        found.setdefault(run.pop("part"), []).append(run)
    return found


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, keys) for key, inner in value.items() if key not in keys}
    return value


def write_report(folder: Path) -> Path:
    """Write FOLDER/report.html: README.md with its PNG figures inside, one file to send and to read on a phone."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse((folder / "README.md").read_text(encoding="utf-8"))
    for token in (inner for outer in tokens for inner in outer.children or ()):
        if token.type == "image":
            token.attrSet("src", png_uri((folder / str(token.attrGet("src"))).read_bytes()))
            token.attrSet("class", "wide")
    body = markdown.renderer.render(tokens, markdown.options, {})
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    title = re.search(r"<h1>(.*?)</h1>", body)
    path = folder / "report.html"
    with atomic_file(path) as file:
        file.write(html_page(re.sub("<.*?>", "", title[1]) if title else folder.name, body).encode())
    return path
