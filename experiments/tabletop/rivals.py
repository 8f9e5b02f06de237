"""Part 2: compares AIR with supervised networks, where kinds repeat and where they do not (Figure 6, right).

AIR sees images alone. The supervised networks see true labels of fresh scenes, in the order in which they happen to
come (as in the paper), or matched to the network's own answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch

from air3d.evaluation.evaluate import answer_metrics
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.latents import World
from air3d.scenes.painter import Painter
from air3d.scenes.supervised import Order
from air3d.training.supervised import train_supervised_tabletop
from experiments.counting import CountingRenderer
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import (
    Run,
    by_seed,
    grouped,
    run_table,
    spread_table,
)
from experiments.tabletop import columns as c
from experiments.tabletop import images_alone
from experiments.tabletop.measure import by_count
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "rivals"
TITLE = "2. AIR and supervised networks, with and without repeated kinds"
ORDERS: tuple[Order, ...] = ("arbitrary", "matched")


def run(bench: Workbench) -> None:
    """Run every method and seed; AIR's runs with repetition are those of part 1."""
    for repeat in (True, False):
        for seed in bench.plan.seeds:
            if repeat:
                images_alone.one(bench, images_alone.PART, f"seed{seed}", True, seed)
            else:
                images_alone.one(bench, PART, f"no-repeat-air-seed{seed}", False, seed)
            for order in ORDERS:
                _supervised(bench, repeat, order, seed)


def _supervised(bench: Workbench, repeat: bool, order: Order, seed: int) -> Result:
    prior, label = repeat_prior(repeat), "repeat" if repeat else "no-repeat"
    config = replace(bench.plan.supervised, order=order, seed=seed)
    settings = {"train": config_to_dict(config), "repeat": repeat, "test": bench.plan.test}

    def make() -> Result:
        test, top = bench.test_set(prior, bench.plan.size), World(prior)
        size = RenderConfig(prior.kinds, prior.table, prior.max_objects, bench.plan.size, bench.plan.size)
        with bench.renderer(size) as renderer:
            counting = CountingRenderer(renderer)
            begin = time.perf_counter()
            model = train_supervised_tabletop(Painter(top, counting, torch.device("cpu")), config)
            seconds = time.perf_counter() - begin
            model.infer(test.images[:1])
            begin = time.perf_counter()
            inferred = model.infer(test.images)
            each = (time.perf_counter() - begin) / len(test.images)
            drawn = renderer.render(inferred)
        metrics = answer_metrics(test.images, test.truth, inferred, drawn, None, test.visible_fraction)
        return {
            "method": f"supervised-{order}",
            "seed": seed,
            "parameters": sum(p.numel() for p in model.network.parameters()),
            "seconds": seconds,
            "renders": counting.count,
            "test": {
                **metrics,
                "seconds_per_image": each,
                "renders_per_image": 0,
                "by_count": by_count(test.truth, inferred),
            },
        }

    return bench.kept.once(PART, f"{label}-{order}-seed{seed}", settings, make)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text(
        "AIR learns from images alone, a fixed set of them. The supervised networks are plain ones: the convolutional"
        " encoder of single objects and fully connected layers that answer all slots at once, with neither the cells "
        "nor the windows of AIR's guide, and fewer weights. They learn from true labels of fresh scenes: *arbitrary* "
        "takes the labels in the order in which they happen to stand, as in the paper; *matched* assigns them to its "
        "own answers by the Hungarian method. *guide, by labels* is the rival with AIR's own guide: the same network "
        "taught by the labels of fresh scenes, which is the sleep phase (one seed, from part 6; other test images of "
        "the same prior). Median over seeds, range in brackets."
    )
    columns = (*c.SCENE, c.MSSD, c.MSE, c.PARAMETERS, c.MINUTES, c.RENDERS, c.MILLISECONDS)
    every = []
    for repeat, words in ((True, "Kinds may repeat"), (False, "No kind repeats")):
        chosen = [run for run in runs if run["settings"]["repeat"] is repeat]
        if repeat:
            chosen = results.get("images-alone", []) + chosen + _guide_by_labels(results.get("perturbed", []))
        groups = grouped(by_seed(chosen), "method")
        page.text(f"### {words}")
        if not groups:
            page.text("Not run yet.")
            continue
        page.text(*spread_table(["method"], groups, columns))
        page.text(*_gaps(groups))
        every += [([words, *name, str(run["seed"])], run) for name, found in groups.items() for run in found]
    page.text("### Every seed")
    page.text(*run_table(["scenes", "method", "seed"], every, (*c.SCENE, c.MSSD, c.MSE, c.MINUTES)))
    return page


def _guide_by_labels(perturbed: Sequence[Run]) -> list[Run]:
    """Take part 6's models, trained asleep without perturbation, as rivals: AIR's guide, labels instead of images."""
    tests = {run["name"]: run["test"] for run in perturbed if "test" in run}
    return [
        {**run, "method": "guide, by labels", "test": tests[name]}
        for run in perturbed
        if run.get("trained") == "without"
        and (name := f"trained-without-perturbation-seed-{run['seed']}-inference-0") in tests
    ]


def _gaps(groups: dict[tuple[str, ...], list[Run]]) -> list[str]:
    """Write AIR's lead over each rival in points of count and kinds, between medians."""
    if ("air",) not in groups:
        return []
    lines = []
    for (name,), runs in groups.items():
        if name != "air":
            leads = [
                100.0 * (median(r["test"][key] for r in groups[("air",)]) - median(r["test"][key] for r in runs))
                for key in ("count_accuracy", "kinds_accuracy")
            ]
            lines.append(
                f"- AIR's lead over {name}: {leads[0]:+.1f} points of count, {leads[1]:+.1f} of kinds (medians)"
            )
    return lines
