"""Foreign data, no adaptation: models on images of the preset that they were not trained on."""

from __future__ import annotations

from functools import partial
from typing import Any

from air3d.datasets.digits.config import Preset
from air3d.datasets.digits.reader import DigitsArrays
from air3d.digits.store import Model
from experiments.kept import Kept, Result, fingerprint
from experiments.multi_mnist import learning
from experiments.multi_mnist.plan import HELD_OUT, Part
from experiments.multi_mnist.trial import measure
from experiments.multi_mnist.workbench import TRAININGS, Workbench, weights_fingerprint
from experiments.page import Results, Section
from experiments.tables import Column, at, grouped, spread_table

PART: Part = "foreign"
TITLE = "Foreign data, no adaptation"

_BOTH: tuple[Preset, ...] = ("paper", "pyro")


def run(bench: Workbench) -> None:
    """Measure AIR, trained on either preset, on both."""
    for seed in bench.plan.foreign_seeds:
        for trained_on, model in (("paper", learning.air(bench, "exact", seed)), ("pyro", _pyro(bench, seed))):
            for preset in _BOTH:
                data = bench.images("test", (0, 1, 2), preset)
                settings = {"weights": weights_fingerprint(model), "test": fingerprint(*data)}
                about = {"trained_on": trained_on, "tested_on": preset, "seed": seed}
                name = f"{trained_on}-to-{preset}-{seed}"
                bench.kept.once(PART, name, settings, partial(_measured, about, model, data))


def _pyro(bench: Workbench, seed: int) -> Model:
    counts = (0, 1, 2)
    sets, how = {HELD_OUT: counts}, bench.how(seed)
    return bench.trained(TRAININGS, f"air-pyro-{seed}", "air", how, counts, sets, {}, preset="pyro")


def _measured(about: dict[str, Any], model: Model, data: DigitsArrays) -> Result:
    return {**about, "test": measure(model, data)}


_COLUMNS = (
    Column("count right", at("test", "count_accuracy", factor=100.0), "{:.2f} %"),
    Column("bound (nats)", at("test", "elbo"), "{:.1f}"),
    Column("mse", at("test", "reconstruction_mse"), "{:.4f}"),
)


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page = Section()
    page.text("Median over seeds, range in brackets; a row of 1 seed is one training.")
    groups = grouped(results[PART], "trained_on", "tested_on")
    page.text(*spread_table(["trained on", "tested on"], groups, _COLUMNS))
    return page
