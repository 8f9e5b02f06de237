"""The published pages are what the code writes from the published results: neither can drift from the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.kept import Kept
from experiments.multi_mnist import command as multi_mnist
from experiments.page import FINDINGS, RESULTS, Page, read_results
from experiments.settings import used
from experiments.single_object import command as single_object
from experiments.tabletop import command as tabletop

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"
PAGES = {"single-object": single_object.PAGE, "tabletop": tabletop.PAGE, "multi-mnist": multi_mnist.PAGE}


@pytest.mark.parametrize("name, page", PAGES.items(), ids=PAGES)
def test_a_published_page_is_written_from_its_results(name: str, page: Page, tmp_path: Path) -> None:
    out = FOLDER / name
    results = read_results(out / RESULTS)
    text, figures = page.text(results, Kept(tmp_path, {}, print), out / FINDINGS)
    assert text == (out / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in out.iterdir() if path.suffix in (".png", ".gif")} == set(figures)
    assert set(results) <= {entry.part for entry in page.entries}


@pytest.mark.parametrize("name", PAGES)
def test_published_runs_have_names_of_their_own_and_say_what_they_were_made_with(name: str) -> None:
    for part, runs in read_results(FOLDER / name / RESULTS).items():
        assert len({run["name"] for run in runs}) == len(runs), part
        for run in runs:
            assert used(run["settings"]) == run["settings"], "nothing that the run did not use"
            assert {"command", "commit", "machine"} <= run["made"].keys()
