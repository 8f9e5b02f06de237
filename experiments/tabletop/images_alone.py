"""Part 1: runs the wake phase from a cold start, on images under unknown cameras; no labels, no dreams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from air3d.networks.folder import RUN_MODEL
from air3d.scene3d.config_json import config_to_dict
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import Run, by_seed, run_table, spread
from experiments.tabletop import columns as c
from experiments.tabletop.columns import count_table
from experiments.tabletop.curves import learning_curves
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "images-alone"
TITLE = "1. From images alone"


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
        learned = learn(bench, bench.kept.run(part, name), config, prior, images, validation)
        test = measured(bench, learned.model, bench.test_set(prior, bench.plan.size), seed)
        return {"method": "air", "seed": seed, **learned.record, "test": test}

    return bench.kept.once(part, name, settings, make)


def models(bench: Workbench) -> dict[str, str]:
    """Load the trained models that are there, by name, in the order of the seeds."""
    done = [seed for seed in bench.plan.seeds if bench.kept.path(PART, f"seed{seed}").exists()]
    return {f"images alone, seed {seed}": str(bench.kept.run(PART, f"seed{seed}") / RUN_MODEL) for seed in done}


_BAR_COUNT, _BAR_KINDS = 0.95, 0.90


_EVERY = (*c.SCENE[:3], c.POSITION_P90, *c.SCENE[3:], c.DISTANCE, c.MSSD, c.MSPD, c.MSE)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    train = runs[0]["settings"]["train"]
    page.text(
        f"Cold start; {runs[0]['settings']['images']} images, no labels, no dreams; the wake phase, "
        f"{train['iterations']} iterations of {train['batch']} images. Errors on {runs[0]['settings']['test']} test "
        "images. The gradients are self-normalised importance weights, those of reweighted wake-sleep's wake phase, "
        "not likelihood ratios. Known besides the images: the meshes and colours of the kinds, the table, the lamp, "
        "the ranges of the camera, and the prior, that of the count included."
    )
    rows = [([str(run["seed"])], run) for run in by_seed(runs)]
    page.text(*run_table(["seed"], rows, (*_EVERY, c.ELBO, c.IWAE, c.WITHOUT_BOUND, c.MINUTES, c.RENDERS)))
    tests = [run["test"] for run in runs]
    reached = sum(t["count_accuracy"] >= _BAR_COUNT and t["kinds_accuracy"] >= _BAR_KINDS for t in tests)
    page.text(f"Count at least 95 % and kinds at least 90 %: {reached} of {len(runs)} seeds.")
    page.text("By the number of objects, median and range over seeds:")
    page.text(*count_table([], {(): runs}))
    alt = (
        "Learning curves of every seed on the validation images: count, kinds, position and camera against minutes and "
        f"renders. At the end the count is right in {_last(runs, 'count_accuracy')}, all kinds in "
        f"{_last(runs, 'kinds_accuracy')} (median and range over seeds)."
    )
    page.figure("images-alone.png", lambda: learning_curves({"AIR": by_seed(runs)}), alt)
    page.text("Validation images; a line a seed. Times leave measuring out; renders are all that training drew.")
    return page


def _last(runs: Sequence[Run], key: str) -> str:
    return spread([100.0 * run["curve"][-1][key] for run in runs], "{:.1f} %")
