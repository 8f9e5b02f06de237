"""Part 2: compares AIR with supervised networks, where kinds repeat and where they do not (Figure 6, right).

AIR sees images alone. The supervised networks see true labels of fresh scenes, in the order in which they happen to
come (as in the paper), or matched to the network's own answers; the networks are AIR's guide as regressions.
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
from air3d.training.supervised import CHECKPOINT_EVERY, train_supervised_tabletop
from experiments.clock import Clock
from experiments.counting import CountingRenderer
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import Run, by_seed, grouped, run_table, spread_table
from experiments.tabletop import columns as c
from experiments.tabletop import images_alone
from experiments.tabletop.measure import by_count
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "rivals"
TITLE = "2. AIR and supervised networks, with and without repeated kinds"
ORDERS: tuple[Order, ...] = ("arbitrary", "matched")
_TOLD_EVERY = 100
_PLAIN = "plain"


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

    name = f"{label}-{order}-seed{seed}"

    def make() -> Result:
        test, world = bench.test_set(prior, bench.plan.size), World(prior)
        size = RenderConfig(prior.kinds, prior.table, prior.max_objects, bench.plan.size, bench.plan.size)
        with bench.renderer(size) as renderer:
            painter = Painter(world, counting := CountingRenderer(renderer), torch.device("cpu"))
            folder, length = bench.kept.run(PART, name), config.iterations
            clock = Clock(folder, length, length, CHECKPOINT_EVERY, lambda iteration: {}, counting)

            def tell(iteration: int, loss: float) -> None:
                clock.tick({})
                if iteration % _TOLD_EVERY == 0:
                    bench.kept.say(f"{PART}: {name}: iteration {iteration} of {length}, loss {loss:.2f}")

            run = clock.run(config, {"images": 0, "repeat": repeat})
            with run.claimed():
                model = train_supervised_tabletop(painter, config, tell, run)
            model.infer(test.images[:1], renderer)
            begin = time.perf_counter()
            drawing = CountingRenderer(renderer)
            inferred = model.infer(test.images, drawing)
            each = (time.perf_counter() - begin) / len(test.images)
            drawn = renderer.render(inferred)
        metrics = answer_metrics(test.images, test.truth, inferred, drawn, None, test.visible_fraction)
        return {
            "method": f"supervised-{order}",
            "seed": seed,
            "parameters": sum(p.numel() for p in model.network.parameters()),
            **{key: clock.record[key] for key in ("seconds", "cpu_seconds", "renders")},
            "test": {
                **metrics,
                "seconds_per_image": each,
                "renders_per_image": drawing.count / len(test.images),
                "by_count": by_count(test.truth, inferred),
            },
        }

    return bench.kept.once(PART, name, settings, make)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), [_told_apart(run) for run in results[PART]]
    page.text(
        "AIR learns from images alone, a fixed set of them. The supervised networks are AIR's guide as a regression: "
        "its encoders, cells, windows and heads, but for two outputs for the direction of an object. They learn from "
        "true labels of fresh scenes, object by object, by squared errors and cross-entropies: *arbitrary* takes the "
        "labels in the order in which they happen to stand, as in the paper; *matched* takes at each step that of the "
        "remaining labels which its own answer fits best. *guide, by labels* is the guide itself, fitted to the labels "
        "of fresh scenes by maximum likelihood, which is the sleep phase (one seed, from part 6; other test images of "
        "the same prior). Median over seeds, range in brackets."
    )
    if any(str(run["method"]).startswith(_PLAIN) for run in runs):
        page.text(
            f"*{_PLAIN}-arbitrary* and *{_PLAIN}-matched* are earlier, smaller networks, in whose place the supervised "
            "ones will stand once they have been run: a convolutional encoder and fully connected layers that answer "
            "all slots at once, with neither cells nor windows; there *matched* assigns the labels by the Hungarian "
            "method."
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


def _told_apart(run: Run) -> Run:
    """Call the results of the plain networks, which were the rivals before, by a name of their own."""
    plain = "hidden" in run["settings"]["train"]
    return {**run, "method": str(run["method"]).replace("supervised", _PLAIN)} if plain else run


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
