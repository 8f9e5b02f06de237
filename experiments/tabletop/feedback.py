"""Part 8: compares a guide that is shown what is still unexplained with one that is shown where it has named objects.

Both learn from scenes of up to two objects, in either phase, with as many iterations, and are tested on up to three:
does looking pay, and does it help to count beyond what was trained? After training the guide is given a third step;
all its steps share one network. The wake phase has the third step from the start, for images never hold a third
object; the sleep phase dreams of no more than two. Either way the guide has been asked, after two objects, whether
there is another one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.feedback import FeedbackName
from air3d.scenes.model import SceneModel
from air3d.training.config import Phase
from experiments.kept import Kept, Result
from experiments.page import Results, Section
from experiments.tables import Column, Run, at, by_seed, grouped, run_table, spread_table
from experiments.tabletop import columns as c
from experiments.tabletop.columns import count_table
from experiments.tabletop.curves import learning_curves
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "feedback"
TITLE = "8. Shown what is unexplained, or where objects were named"
TRAINED, TESTED = 2, 3
PHASES: tuple[Phase, ...] = ("wake", "sleep")
FEEDBACKS: tuple[FeedbackName, ...] = ("difference", "marks")


def run(bench: Workbench) -> None:
    """Run every phase, feedback and seed."""
    for seed in bench.plan.feedback_seeds:
        for phase in PHASES:
            for feedback in FEEDBACKS:
                _one(bench, phase, feedback, seed)


def _one(bench: Workbench, phase: Phase, feedback: FeedbackName, seed: int) -> Result:
    base = bench.plan.wake if phase == "wake" else bench.plan.sleep
    config = replace(base, seed=seed, guide=replace(base.guide, feedback=feedback))
    few, many = repeat_prior(max_objects=TRAINED), repeat_prior(max_objects=TESTED)
    name = f"{phase}-{feedback}-seed{seed}"

    def make() -> Result:
        images = bench.train_set(few).images if phase == "wake" else None
        prior = many if phase == "wake" else few
        folder = bench.kept.run(PART, name)
        learned = learn(bench, folder, config, prior, images, bench.validation_set(few))
        model = with_steps(learned.model, TESTED)
        test = measured(bench, model, bench.test_set(many, bench.plan.size), seed)
        return {"phase": phase, "feedback": feedback, "seed": seed, **learned.record, "test": test}

    settings = {"train": config_to_dict(config), "images": bench.plan.train, "test": bench.plan.test}
    return bench.kept.once(PART, name, settings, make)


def with_steps(model: SceneModel[Any], steps: int) -> SceneModel[Any]:
    """Put the weights into a model that may take another number of steps."""
    prior = replace(model.prior, max_objects=steps)
    made = SceneModel.of(prior, model.guide.config, model.likelihood)
    made.guide.load_state_dict(model.guide.state_dict())
    made.guide.eval()
    return made


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text(
        "After each object the guide looks again: at the difference between the image and what has been explained, "
        "rendered (`difference`, one render a step), or at marks where objects were named (`marks`, none). Trained on "
        "scenes of 0 to 2 objects, the same number of iterations in a phase, tested on 0 to 3. Median over seeds, "
        "range in brackets; all test images:"
    )
    groups = grouped(by_seed(runs), "phase", "feedback")
    columns = (*c.SCENE, c.MSE, c.MINUTES, c.RENDERS, c.MILLISECONDS)
    page.text(*spread_table(["phase", "feedback"], groups, columns))
    page.text("By the number of objects; 3 is beyond what was trained:")
    page.text(*count_table(["phase", "feedback"], groups))
    page.text(*_equal_time(groups))
    page.text("Every seed:")
    rows = [([*name, str(run["seed"])], run) for name, found in groups.items() for run in found]
    beyond = Column("count right, 3 objects", lambda run: _of_three(run, "count_accuracy"), "{:.1f} %")
    kinds = Column("all kinds right, 3 objects", lambda run: _of_three(run, "kinds_accuracy"), "{:.1f} %")
    page.text(*run_table(["phase", "feedback", "seed"], rows, (*c.SCENE, beyond, kinds, c.MINUTES, c.RENDERS)))
    for phase in dict.fromkeys(run["phase"] for run in runs):
        chosen = {name[1]: found for name, found in groups.items() if name[0] == phase}
        alt = (
            f"Learning curves of the {phase} phase with either feedback, on validation images of 0 to 2 objects: "
            "count, kinds, position and camera against minutes and renders."
        )
        page.figure(f"feedback-{phase}.png", partial(learning_curves, chosen), alt)
    return page


def _of_three(run: Run, key: str) -> float | None:
    return next((100.0 * r[key] for r in run["test"]["by_count"] if r["objects"] == 3), None)


def _equal_time(groups: dict[tuple[str, ...], list[Run]]) -> list[str]:
    """Write the table of each curve at the time that the quickest run of its phase took."""
    points: dict[tuple[str, ...], list[Run]] = {}
    for (phase, name), runs in groups.items():
        limit = min(run["seconds"] for (other, _), found in groups.items() for run in found if other == phase)
        last = [[p for p in run["curve"] if p["seconds"] <= 1.02 * limit][-1:] for run in runs]
        points[phase, name] = [{**p, "limit": limit} for found in last for p in found]
    columns = (
        Column("minutes", at("limit", factor=1.0 / 60.0), "{:.1f}", alike=True),
        Column("count right", at("count_accuracy", factor=100.0), "{:.1f} %"),
        Column("all kinds right", at("kinds_accuracy", factor=100.0), "{:.1f} %"),
        Column("position mm", at("position_error_m", factor=1000.0), "{:.1f}"),
    )
    return [
        "At equal time, validation images of 0 to 2 objects (the last point of each curve within the time that the "
        "phase's quickest run took; schedules are those of the whole run):",
        "",
        *spread_table(["phase", "feedback"], points, columns),
    ]
