"""The workbench of the single-object experiment: kept results, the three sets of images, one renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from air3d.datasets.labelled import Labelled
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.presets import single_prior
from experiments.data import labelled
from experiments.kept import Kept
from experiments.single_object.plan import TEST_SEED, TRAIN_SEED, VALIDATION_SEED, Plan


@dataclass(frozen=True)
class Workbench:
    """The tools that both parts of the experiment share.

    Attributes:
        kept: the results; the images stand in its folder too.
        plan: says how much of everything is done.
        make_renderer: takes a RenderConfig.
        train, validation, test: the images with their scenes; training sees the images of `train` alone, the curves are
            measured on `validation`, the final numbers on `test`, which nothing was tuned on.
    """

    kept: Kept
    plan: Plan
    make_renderer: Callable[[RenderConfig], Renderer]
    train: Labelled
    validation: Labelled
    test: Labelled

    def renderer(self) -> Renderer:
        """Make a renderer of the scenes."""
        prior, (_, height, width, _) = self.test.prior, self.test.images.shape
        return self.make_renderer(RenderConfig(prior.kinds, prior.table, 1, height, width))


def workbench(kept: Kept, plan: Plan, make_renderer: Callable[[RenderConfig], Renderer]) -> Workbench:
    """Make the workbench, and the images that are missing."""

    def data(name: str, num: int, seed: int) -> Labelled:
        return labelled(kept.folder / f"{name}-{num}", "single", single_prior(), num, seed)

    train, validation = data("train", plan.train, TRAIN_SEED), data("validation", plan.validation, VALIDATION_SEED)
    return Workbench(kept, plan, make_renderer, train, validation, data("test", plan.test, TEST_SEED))
