"""Part 6: tests models on colours, sizes, light and a rendering that they were not trained on, and strange pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import encode_picture
from air3d.evaluation.answers import answer
from air3d.evaluation.evaluate import answer_metrics
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.kind import Detail
from air3d.scene3d.prior import PERTURBED, Perturbation, PriorConfig
from air3d.scenes.model import TabletopModel
from air3d.store import RUN_MODEL, load_as
from experiments.kept import Result
from experiments.tabletop import strange
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import by_count
from experiments.tabletop.plan import TEST_SEED, Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name, repeat_prior

PART: Part = "perturbed"

_LARGEST_ANGLE_RAD = 0.6  # what `Perturbation` allows


def run(bench: Workbench) -> None:
    """Run two models trained here, alike but for the perturbation of their dreams, and the shipped ones."""
    models: dict[str, str] = {}
    for seed in bench.plan.perturbed_seeds:
        for strength, word in ((0.0, "without"), (1.0, "with")):
            models[f"trained {word} perturbation, seed {seed}"] = str(_trained(bench, word, strength, seed))
    for label, name in (("shipped", bench.plan.shipped), ("six kinds", bench.plan.six)):
        if bench.named_model(PART, name) is not None:
            models[label] = name
    for label, name in models.items():
        for strength in bench.plan.strengths:
            _measured(bench, label, name, strength, "inference")
        for strength in (0.0, 1.0):
            _measured(bench, label, name, strength, "display")
        _strange(bench, label, name)


def perturbation(strength: float) -> Perturbation:
    """Scale `PERTURBED` by `strength`; the lamp's angle is cut at the largest that can be drawn."""
    return Perturbation(
        scale=strength * PERTURBED.scale,
        colour=strength * PERTURBED.colour,
        light_angle_rad=min(strength * PERTURBED.light_angle_rad, _LARGEST_ANGLE_RAD),
        light_level=strength * PERTURBED.light_level,
    )


def _trained(bench: Workbench, word: str, strength: float, seed: int) -> Path:
    """Train a model of the sleep phase, if it is not there; return its folder."""
    prior, name = _at(repeat_prior(), strength), f"training-{word}-seed{seed}"
    config = replace(bench.plan.sleep, seed=seed)
    folder = bench.folder / PART / "runs" / name

    def make() -> Result:
        learned = learn(bench, folder, config, prior, None, bench.validation_set(prior))
        return {"trained": word, "seed": seed, **learned.record()}

    bench.once(PART, name, {"train": config_to_dict(config), "strength": strength}, make)
    return folder / RUN_MODEL


def _measured(bench: Workbench, label: str, name: str, strength: float, detail: Detail) -> None:
    def make() -> Result:
        model = load_as(name, TabletopModel)
        prior = _at(model.prior, strength)
        data = bench.data("test", prior, bench.plan.perturbed_test, TEST_SEED, model.image_size, detail)
        with bench.renderer(model.render_config) as renderer:
            found = answer(model, renderer, data.images)
            drawn = renderer.render(found.scenes)
        metrics = answer_metrics(data.images, data.truth, found.scenes, drawn, found.presence, data.visible_fraction)
        test = {**metrics, "by_count": by_count(data.truth, found.scenes)}
        return {"model": label, "strength": strength, "detail": detail, "test": test}

    settings = {**fingerprint(label, name), "strength": strength, "detail": detail, "test": bench.plan.perturbed_test}
    bench.once(PART, f"{label_name(label)}-{detail}-{strength:g}", settings, make)


def _strange(bench: Workbench, label: str, name: str) -> None:
    file = f"{label_name(label)}-strange"

    def make() -> Result:
        model = load_as(name, TabletopModel)
        pictures = strange.pictures(model.image_size, seed=TEST_SEED)
        ordinary = bench.data("test", model.prior, bench.plan.perturbed_test, TEST_SEED, model.image_size)
        with bench.renderer(model.render_config) as renderer:
            rows, drawn = strange.answers(model, renderer, pictures, ordinary.images, bench.plan.samples)
        bench.keep(PART, file, encode_picture(_strip([np.stack(list(pictures.values())), drawn])))
        return {"model": label, "strange": rows}

    bench.once(PART, file, {**fingerprint(label, name), "samples": bench.plan.samples}, make)


def _strip(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures (P, S, S, 3) side by side, a row below the other."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def _at(prior: PriorConfig, strength: float) -> PriorConfig:
    return replace(prior, perturb=perturbation(strength))
