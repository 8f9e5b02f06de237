"""Writes `report.html`: an experiment's README.md with the figures inside, one file to send and to read on a phone."""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt

from air3d.datasets.files import atomic_file
from air3d.evaluation.html_page import html_page, png_uri


def write_html_report(folder: Path) -> Path:
    """Write FOLDER/report.html from FOLDER/README.md, whose PNG figures lie beside it; returns its path."""
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
