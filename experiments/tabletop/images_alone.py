"""Part 1: runs the wake phase from a cold start, on images under unknown cameras; no labels, no dreams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from air3d.scene3d.config_json import config_to_dict
from air3d.store import RUN_MODEL
from experiments.kept import Result
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "images-alone"


def run(bench: Workbench) -> None:
    """Run every seed."""
    for seed in bench.plan.seeds:
        one(bench, PART, f"seed{seed}", True, seed)


def one(bench: Workbench, part: Part, name: str, repeat: bool, seed: int) -> Result:
    """Train and measure one seed, on scenes with or without repeated kinds."""
    prior, config = repeat_prior(repeat), replace(bench.plan.wake, seed=seed)
    settings = {"train": config_to_dict(config), "repeat": repeat, "images": bench.plan.train, "test": bench.plan.test}

    def make() -> Result:
        images, validation = bench.train_set(prior).images, bench.validation_set(prior)
        learned = learn(bench, _run(bench, part, name), config, prior, images, validation)
        test = measured(bench, learned.model, bench.test_set(prior, bench.plan.size), seed)
        return {"method": "air", "seed": seed, **learned.record(), "test": test}

    return bench.once(part, name, settings, make)


def models(bench: Workbench) -> dict[str, Path]:
    """Load the trained models that are there, by name, in the order of the seeds."""
    done = [seed for seed in bench.plan.seeds if bench.path(PART, f"seed{seed}").exists()]
    return {f"images alone, seed {seed}": _run(bench, PART, f"seed{seed}") / RUN_MODEL for seed in done}


def _run(bench: Workbench, part: Part, name: str) -> Path:
    return bench.folder / part / "runs" / name
