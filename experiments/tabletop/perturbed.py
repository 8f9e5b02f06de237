"""Part 6: tests models on colours, sizes, light and a rendering that they were not trained on, and strange pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.pictures import encode_picture
from air3d.evaluation.answers import answer
from air3d.evaluation.evaluate import answer_metrics
from air3d.networks.folder import RUN_MODEL
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.kind import Detail
from air3d.scene3d.prior import PERTURBED, Perturbation, PriorConfig
from air3d.scenes.store import load_model
from experiments.figures import COLOURS, png, white_figure
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import Run, grouped, run_table
from experiments.tabletop import columns as c
from experiments.tabletop import strange
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import by_count
from experiments.tabletop.plan import TEST_SEED, Part
from experiments.tabletop.workbench import Workbench, fingerprint, label_name, repeat_prior

PART: Part = "perturbed"
TITLE = "6. Other colours, sizes, light and pictures"

_LARGEST_ANGLE_RAD = 0.6  # what `Perturbation` allows


def run(bench: Workbench) -> None:
    """Run two models trained here, alike but for the perturbation of their dreams, and the shipped ones."""
    models: dict[str, str] = {}
    for seed in bench.plan.perturbed_seeds:
        for strength, word in ((0.0, "without"), (1.0, "with")):
            models[f"trained {word} perturbation, seed {seed}"] = str(_trained(bench, word, strength, seed))
    for label, name in (models | bench.models(PART)).items():
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
    folder = bench.kept.run(PART, name)

    def make() -> Result:
        learned = learn(bench, folder, config, prior, None, bench.validation_set(prior))
        return {"trained": word, "seed": seed, **learned.record}

    bench.kept.once(PART, name, {"train": config_to_dict(config), "strength": strength}, make)
    return folder / RUN_MODEL


def _measured(bench: Workbench, label: str, name: str, strength: float, detail: Detail) -> None:
    def make() -> Result:
        model = load_model(name).model
        prior = _at(model.prior, strength)
        data = bench.data("test", prior, bench.plan.perturbed_test, TEST_SEED, model.image_size.height, detail)
        with bench.renderer(model.render_config) as renderer:
            found = answer(model, renderer, data.images)
            drawn = renderer.render(found.scenes)
        metrics = answer_metrics(data.images, data.truth, found.scenes, drawn, found.presence, data.visible_fraction)
        test = {**metrics, "by_count": by_count(data.truth, found.scenes)}
        return {"model": label, "strength": strength, "detail": detail, "test": test}

    settings = {**fingerprint(label, name), "strength": strength, "detail": detail, "test": bench.plan.perturbed_test}
    bench.kept.once(PART, f"{label_name(label)}-{detail}-{strength:g}", settings, make)


def _strange(bench: Workbench, label: str, name: str) -> None:
    file = f"{label_name(label)}-strange"

    def make() -> Result:
        model = load_model(name).model
        pictures = strange.pictures(model.image_size.height, seed=TEST_SEED)
        ordinary = bench.data("test", model.prior, bench.plan.perturbed_test, TEST_SEED, model.image_size.height)
        with bench.renderer(model.render_config) as renderer:
            rows, drawn = strange.answers(model, renderer, pictures, ordinary.images, bench.plan.samples)
        bench.kept.keep(PART, file, encode_picture(_strip([np.stack(list(pictures.values())), drawn])))
        return {"model": label, "size": model.image_size.height, "strange": rows}

    bench.kept.once(PART, file, {**fingerprint(label, name), "samples": bench.plan.samples}, make)


def _strip(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures (P, S, S, 3) side by side, a row below the other."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def _at(prior: PriorConfig, strength: float) -> PriorConfig:
    return replace(prior, perturb=perturbation(strength))


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text(
        "Strength 1 is what perturbed models are trained with: sizes by 10 %, colours by 0.1, the lamp by 20 degrees, "
        "its levels by 15 %, all uniform. At strength 2 the lamp's angles are cut at 34.4 degrees. *display*: smooth "
        "meshes, shadows, multisampling and a wooden table top, none of them ever trained on."
    )
    runs = sorted(runs, key=_trained_first)
    groups = grouped([run for run in runs if "test" in run], "model")
    rows = [
        ([name, run["detail"], f"{run['strength']:g}"], run)
        for (name,), found in groups.items()
        for run in sorted(found, key=lambda r: (r["detail"] == "display", r["strength"]))
    ]
    columns = (c.COUNT, c.KINDS, c.POSITION, c.YAW, c.AZIMUTH, c.ELEVATION, c.MSSD, c.MSE)
    page.text(*run_table(["model", "pictures", "strength"], rows, columns))
    alt = (
        "Count and kinds right against the strength of the perturbation, a line a model; crosses are smooth, shadowed "
        "pictures. The table above has the numbers."
    )
    by_model = {name: found for (name,), found in groups.items()}
    page.figure("perturbed.png", partial(accuracy_by_strength, by_model), alt)
    trained = [run for run in runs if "trained" in run]
    if trained:
        page.text("The two models trained here, alike but for the perturbation of their dreams:")
        lines = [([f"{run['trained']} perturbation", str(run["seed"])], run) for run in trained]
        page.text(*run_table(["trained", "seed"], lines, (c.MINUTES, c.RENDERS, c.PARAMETERS)))
    page.text("### Strange pictures")
    page.text(
        "No photos can be shipped; these pictures were made to be unlike the models' own. *likelihood*: log p(x | z) "
        "of the answer, in nats; *usual*: the share of ordinary test images that the model explains worse. *counts*: "
        "how often each number of objects was drawn from the posterior. *azimuth spread*: circular standard deviation "
        "of the drawn cameras. *effective samples*: after weighing by the likelihood; 1 means that one sample beats "
        "all others, a dash that the prior allows none of them. A guide that is sure of its answer is not one that is "
        "right: only the likelihood sees the picture."
    )
    for run in runs:
        if "strange" in run:
            page.text(f"Model: {run['model']}.")
            page.text(*strange.table(run["strange"]))
    for (side,), found in grouped([run for run in runs if "strange" in run], "size").items():
        names = [picture["picture"] for picture in found[0]["strange"]]
        alt = (
            f"The strange pictures at {side}x{side} pixels ({', '.join(names)}), and below them the answers, drawn, "
            f"of these models: {', '.join(run['model'] for run in found)}. The tables above say what they are."
        )
        answers = {run["model"]: kept.path(PART, run["name"], ".png") for run in found}
        page.figure(f"strange-{side}.png", partial(strange.strips, answers, names), alt)
    return page


def _trained_first(run: Run) -> tuple[bool, bool, str]:
    """Sort the models: those trained for the comparison first, the one without perturbation at the head."""
    name = run.get("model", "")
    return not name.startswith("trained"), not name.startswith("trained without"), name


def accuracy_by_strength(groups: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw count and kinds against the strength of the perturbation; crosses are smooth, shadowed pictures."""
    figure = white_figure(10.0, 3.8)
    panels = figure.subplots(1, 2)
    for colour, (name, runs) in zip(COLOURS, groups.items(), strict=False):
        for panel, key in zip(panels, ("count_accuracy", "kinds_accuracy"), strict=True):
            for detail, marker, style in (("inference", "o", "-"), ("display", "x", "none")):
                chosen = sorted((r for r in runs if r["detail"] == detail), key=lambda r: float(r["strength"]))
                xs, ys = [r["strength"] for r in chosen], [100.0 * r["test"][key] for r in chosen]
                label = name if detail == "inference" else None
                panel.plot(xs, ys, color=colour, marker=marker, ms=5, linestyle=style, label=label)
    for panel, title in zip(panels, ("count right, %", "all kinds right, %"), strict=True):
        panel.set(xlabel="strength of the perturbation", ylabel=title, ylim=(-3.0, 103.0))
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return png(figure)
