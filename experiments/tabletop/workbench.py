"""The workbench of the tabletop experiments: kept results, datasets, renderers, models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from air3d.datasets.labelled import Labelled
from air3d.networks.folder import WEIGHTS, find_model
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.kind import Detail
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig
from experiments.data import labelled
from experiments.kept import Kept
from experiments.tabletop.plan import TEST_SEED, TRAIN_SEED, VALIDATION_SEED, Part, Plan


@dataclass(frozen=True)
class Workbench:
    """The tools that the parts of the experiments share.

    Attributes:
        kept: the results; datasets and runs stand in its folder too.
        plan: says how much of everything is done.
        make_renderer: takes a RenderConfig, and `workers` where a single core is wanted.
    """

    kept: Kept
    plan: Plan
    make_renderer: Callable[..., Renderer]

    def renderer(self, config: RenderConfig) -> Renderer:
        """Make a renderer of the chosen backend."""
        return self.make_renderer(config)

    def train_set(self, prior: PriorConfig) -> Labelled:
        """The images to learn from."""
        return self.data("train", prior, self.plan.train, TRAIN_SEED, self.plan.size)

    def validation_set(self, prior: PriorConfig) -> Labelled:
        """The images of learning curves."""
        return self.data("validation", prior, self.plan.validation, VALIDATION_SEED, self.plan.size)

    def test_set(self, prior: PriorConfig, size: int) -> Labelled:
        """The images of the final numbers, by which nothing is chosen."""
        return self.data("test", prior, self.plan.test, TEST_SEED, size)

    def data(
        self, label: str, prior: PriorConfig, num: int, seed: int, size: int, detail: Detail = "inference"
    ) -> Labelled:
        """Load a dataset, made when it is not there yet; its folder's name tells it from any other."""
        text = json.dumps([config_to_dict(prior), size, detail, seed], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return labelled(
            self.kept.folder / "data" / f"{label}-{num}-{digest}", "tabletop", prior, num, seed, size, detail
        )

    def models(self, part: Part, *labels: str) -> dict[str, str]:
        """The plan's models, "shipped" and "six kinds", by label; one that is not there yet is named in one line."""
        named = {"shipped": self.plan.shipped, "six kinds": self.plan.six}
        found = {}
        for label in labels or named:
            try:
                find_model(named[label])
            except InputError:
                self.kept.say(f"{part}: no model '{named[label]}' yet; what needs it is left out")
            else:
                found[label] = named[label]
        return found


def repeat_prior(repeat: bool = True, max_objects: int = 3) -> PriorConfig:
    """The prior of the experiments: up to three of mug, plate and bowl, an unknown camera."""
    return tabletop_prior(max_objects=max_objects, repeat=repeat)


def label_name(label: str) -> str:
    """Turn a model's label into the name of a file."""
    return label.replace(",", "").replace(" ", "-")


def fingerprint(label: str, model: str | Path) -> dict[str, str]:
    """Describe a model in a result's settings: by its label and the sha256 of its weights."""
    return {
        "model": label,
        "weights_sha256": hashlib.sha256((find_model(str(model)) / WEIGHTS).read_bytes()).hexdigest(),
    }
