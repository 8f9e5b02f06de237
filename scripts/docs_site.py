"""Hooks of mkdocs: make pages from the code and MathML from formulas, and load nothing from elsewhere.

`mkdocs.yml` names this file. The pages of the command line are what `--help` prints, so they cannot go stale.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from air3d.cli.main import COMMANDS, Command, main, module_of

_FORMULA = re.compile(r'<(div|span) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for every command under the heading "Command line" of the navigation."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Command line" in entry:
            entry["Command line"] += [{command.name: _path(command.name)} for command in COMMANDS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add those pages."""
    with _plain_terminal(78):
        for command in COMMANDS:
            files.append(File.generated(config, _path(command.name), content=_page_of(command)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Turn formulas, which arithmatex has marked, into MathML: browsers show it without a script."""

    def as_mathml(found: re.Match[str]) -> str:
        return convert(unescape(found[3]), display="block" if found[2] == "[" else "inline")

    return _FORMULA.sub(as_mathml, html)


def _path(name: str) -> str:
    return f"reference/cli/{name.replace(' ', '-')}.md"


def _page_of(command: Command) -> str:
    """Write the page of a command: its purpose, its example, and its options as `--help` prints them."""
    words = inspect.getdoc(getattr(module_of(command), command.args)) or ""
    paragraphs = [
        f"```sh\n{example[1]}\n```"
        if (example := re.fullmatch(r"Example: (.*)\.", paragraph))
        else _with_code(paragraph)
        for paragraph in words.split("\n\n")
    ]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([*command.name.split(), "--help"])
    if code:
        raise RuntimeError(f"air3d {command.name} --help exits with {code}")
    lines = [line.rstrip() for line in out.getvalue().strip().splitlines()]
    start = next(i for i, line in enumerate(lines) if re.fullmatch(r" (positional arguments|options)", line))
    return "\n".join(
        [f"# air3d {command.name}", "", "\n\n".join(paragraphs), "", "```text", lines[0], "", *lines[start:], "```", ""]
    )


def _with_code(paragraph: str) -> str:
    """Set options as code, where they are not yet."""
    return re.sub(r"(?<![\w`-])--[a-z][\w.-]*\w", lambda option: f"`{option[0]}`", paragraph)


@contextlib.contextmanager
def _plain_terminal(columns: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
