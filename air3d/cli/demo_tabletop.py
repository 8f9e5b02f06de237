"""The demo's second half: whole tabletops under an unknown camera, read by the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from air3d.cli import generate
from air3d.cli.evaluate import print_metrics
from air3d.cli.progress import ProgressReport, say
from air3d.datasets.files import atomic_file
from air3d.datasets.labelled import load_labelled
from air3d.datasets.provenance import provenance
from air3d.datasets.reader import SceneDataset
from air3d.evaluation.evaluate import evaluate
from air3d.evaluation.report import Section, write_report
from air3d.evaluation.unseen import unseen_by
from air3d.renderers.choice import Backend, make_renderer
from air3d.scenes.store import load_model

WEIGHTS = "tabletop"
_SHOWN, _WORST, _BOUND_SAMPLES = 12, 4, 16


def show_tabletops(out: Path, scenes: int, seed: int, renderer: Backend) -> dict[str, Any]:
    """Generate `scenes` fresh scenes, read them, write OUT/tabletop.html and .json; return the metrics."""
    folder = out / "tabletop-test"
    say(f"tabletops: generating {scenes} scenes of mugs, plates and bowls, seen from anywhere")
    generate.run(generate.TabletopArgs(out=folder, num=scenes, seed=seed, renderer=renderer, quiet=True))
    say(f"tabletops: inferring them with the shipped weights '{WEIGHTS}'")
    stored, data = load_model(WEIGHTS), load_labelled(folder)
    model, unseen = stored.model, unseen_by(stored.provenance, SceneDataset(folder).manifest)
    with (
        make_renderer(model.render_config, renderer) as drawing,
        ProgressReport("images", len(data.images)) as progress,
    ):
        result = evaluate(
            model,
            drawing,
            data.images,
            data.truth,
            _BOUND_SAMPLES,
            seed,
            visible_fraction=data.visible_fraction,
            report=progress.advance,
        )
    shown = list(range(min(_SHOWN, len(data.images))))
    worst = [int(i) for i in np.argsort(-result.image_mse, kind="stable")[:_WORST]]
    commands = (
        f"air3d generate tabletop {folder} --num {scenes} --seed {seed}",
        f"air3d evaluate {WEIGHTS} --data {folder}",
    )
    write_report(
        out / "tabletop.html",
        "air3d: tabletops understood by rendering them",
        data.images,
        data.truth,
        result,
        [
            Section("Fresh scenes", f"The first {len(shown)}, not selected.", shown),
            Section("The worst", f"The {len(worst)} with the largest pixel error of all.", worst),
        ],
        [],
        {"commands": "; ".join(commands), "seed": str(seed), "renderer": result.metrics["renderer"], **provenance()},
        unseen=unseen.because,
    )
    metrics = {**result.metrics, "weights": WEIGHTS, "unseen": unseen._asdict()}
    with atomic_file(out / "tabletop.json") as file:
        file.write((json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())
    print_metrics(metrics)
    return metrics
