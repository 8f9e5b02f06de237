"""`air3d bench render`: rows for what works here, ratios to the documented loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from air3d.cli.main import main
from air3d.renderers.probe import probe_gl
from air3d.renderers.raster import RasterRenderer
from air3d.scene3d.batch import SceneBatch
from tests.conftest import OWN_FOLDER


def test_rows_and_ratios(tmp_path: Path) -> None:
    out, text = tmp_path / "rows.json", tmp_path / "rows.md"
    few = ["--sizes", "16", "--objects", "1", "4", "--seconds", "0.01", "--backends", "default", "raster", "gl"]
    assert main(["bench", "render", *few, "--json", str(out), "--markdown", str(text)]) == 0
    written = json.loads(out.read_text())
    assert written["provenance"]["commit"]
    rows = written["rows"]
    has_gl = probe_gl().platform is not None
    expected = [("default", 1)] * has_gl + [("raster", 1), ("raster", 2)] + [("gl", 1)] * has_gl
    assert [(r["backend"], r["workers"]) for r in rows] == expected * 2
    assert [r["objects"] for r in rows] == [1] * len(expected) + [4] * len(expected)
    for row in rows:
        keys = {"backend", "size", "objects", "workers", "images_per_second", "ratio", "images_per_cpu_second"}
        assert row.keys() == keys and row["images_per_cpu_second"] > 0.0
        baseline = next((r for r in rows if r["backend"] == "default" and r["objects"] == row["objects"]), None)
        if baseline is None:
            assert row["ratio"] is None
        else:
            assert row["ratio"] == pytest.approx(row["images_per_second"] / baseline["images_per_second"])
    assert len(text.read_text().splitlines()) == 2 + len(rows)


def test_kinds_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds that are named are those that are drawn."""
    drawn: list[tuple[str, ...]] = []
    draw = RasterRenderer.render

    def watched(self: RasterRenderer, scenes: SceneBatch) -> NDArray[np.uint8]:
        drawn.append(scenes.kinds)
        return draw(self, scenes)

    monkeypatch.setattr(RasterRenderer, "render", watched)
    few = ["--sizes", "16", "--objects", "2", "--seconds", "0.01", "--backends", "raster"]
    out = tmp_path / "rows.json"
    assert main(["bench", "render", *few, "--kinds", str(OWN_FOLDER), "cube", "--json", str(out)]) == 0
    kinds = ("pyramid@b16745256486", "cube")
    assert set(drawn) == {kinds} and json.loads(out.read_text())["kinds"] == list(kinds)


@pytest.mark.skipif(probe_gl().platform is None, reason="no OpenGL context can be made here")
def test_the_documented_loop_draws_the_same_scenes() -> None:
    """The baseline must do the work it is compared for: with shadows and multisampling off, the same pictures."""
    from air3d.renderers.benchmark import DocumentedLoop
    from air3d.renderers.gl import GlRenderer
    from air3d.renderers.protocol import RenderConfig
    from air3d.scene3d.presets import tabletop_prior
    from air3d.scene3d.prior import ScenePrior

    scenes = ScenePrior(tabletop_prior()).sample_batch(np.random.default_rng(0), 8)
    config = RenderConfig(scenes.kinds)
    tuned, default = DocumentedLoop(config, tuned=True), DocumentedLoop(config, tuned=False)
    with GlRenderer(config) as ours:
        want = ours.render(scenes).astype(int)
    assert (np.abs(tuned(scenes) - want).max(axis=-1) > 2).mean() < 2e-3
    assert np.abs(default(scenes) - want).mean() < 20
    tuned.close()
    default.close()


def test_nonsense_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "render", "--seconds", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
