"""Part 8: compares a guide that is shown what is still unexplained with one that is shown where it has named objects.

Both learn from scenes of up to two objects, in either phase, with as many iterations, and are tested on up to three:
does looking pay, and does it help to count beyond what was trained? After training the guide is given a third step;
all its steps share one network. The wake phase has the third step from the start, for images never hold a third
object; the sleep phase dreams of no more than two. Either way the guide has been asked, after two objects, whether
there is another one.
"""

from __future__ import annotations

from dataclasses import replace

from air3d.scene3d.config_json import config_to_dict
from air3d.scenes.model import TabletopModel
from air3d.scenes.step_guide import Feedback
from air3d.training.tabletop_config import Phase
from experiments.kept import Result
from experiments.tabletop.learning import learn
from experiments.tabletop.measure import measured
from experiments.tabletop.plan import Part
from experiments.tabletop.workbench import Workbench, repeat_prior

PART: Part = "feedback"
TRAINED, TESTED = 2, 3
PHASES: tuple[Phase, ...] = ("wake", "sleep")
FEEDBACKS: tuple[Feedback, ...] = ("difference", "marks")


def run(bench: Workbench) -> None:
    """Run every phase, feedback and seed."""
    for seed in bench.plan.feedback_seeds:
        for phase in PHASES:
            for feedback in FEEDBACKS:
                _one(bench, phase, feedback, seed)


def _one(bench: Workbench, phase: Phase, feedback: Feedback, seed: int) -> Result:
    base = bench.plan.wake if phase == "wake" else bench.plan.sleep
    config = replace(base, seed=seed, guide=replace(base.guide, feedback=feedback))
    few, many = repeat_prior(max_objects=TRAINED), repeat_prior(max_objects=TESTED)
    name = f"{phase}-{feedback}-seed{seed}"

    def make() -> Result:
        images = bench.train_set(few).images if phase == "wake" else None
        prior = many if phase == "wake" else few
        folder = bench.folder / PART / "runs" / name
        learned = learn(bench, folder, config, prior, images, bench.validation_set(few))
        model = with_steps(learned.model, TESTED)
        test = measured(bench, model, bench.test_set(many, bench.plan.size), seed)
        return {"phase": phase, "feedback": feedback, "seed": seed, **learned.record(), "test": test}

    settings = {"train": config_to_dict(config), "images": bench.plan.train, "test": bench.plan.test}
    return bench.once(PART, name, settings, make)


def with_steps(model: TabletopModel, steps: int) -> TabletopModel:
    """Put the weights into a model that may take another number of steps."""
    prior = replace(model.prior, max_objects=steps)
    made = TabletopModel(prior, model.guide.config, model.likelihood.sigma)
    made.guide.load_state_dict(model.guide.state_dict())
    made.guide.eval()
    return made
