"""Part 2: compares AIR with supervised networks, where kinds repeat and where they do not (Figure 6, right).

AIR sees images alone. The supervised networks see true labels of fresh scenes, in the order in which they happen to
come (as in the paper), or matched to the network's own answers.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from air3d.evaluation.evaluate import answer_metrics
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.latents import World
from air3d.scenes.painter import Painter
from air3d.scenes.supervised import Order
from air3d.training.supervised import train_supervised_tabletop
from experiments.kept import Result
from experiments.tabletop import images_alone
from experiments.tabletop.counting import CountingRenderer
from experiments.tabletop.measure import by_count
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "rivals"
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

    return bench.once(PART, f"{label}-{order}-seed{seed}", settings, make)
