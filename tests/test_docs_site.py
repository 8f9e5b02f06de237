"""The built documentation: whole, complete, and loaded from nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from air3d.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Loaded(HTMLParser):
    """What a page loads by itself, and its pictures without words."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.wordless = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADS and given.get("rel") not in ("canonical", "prev", "next"):
            self.sources.append(given.get(LOADS[tag]) or "")
        self.wordless += tag == "img" and not given.get("alt")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = Loaded()
        loaded.feed(text)
        assert not [source for source in loaded.sources if "//" in source], page
        assert not loaded.wordless, page
        assert 'name="viewport"' in text
        assert 'class="arithmatex"' not in text and "```" not in text, f"{page}: formula or block left as it was"


@pytest.mark.slow
def test_every_command_and_every_formula_is_there(site: Path) -> None:
    for command in COMMANDS:
        text = (site / "reference" / "cli" / f"{command.name.replace(' ', '-')}.html").read_text(encoding="utf-8")
        assert f"usage: air3d {command.name}" in text
    method = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    assert (site / "method.html").read_text(encoding="utf-8").count("<math") == method.count("```math") > 5
    assert "Draw scenes from a prior" in (site / "reference" / "python.html").read_text(encoding="utf-8")
