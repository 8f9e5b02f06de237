"""The plan of the tabletop experiments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from air3d.scenes.supervised import TabletopSupervisedConfig
from air3d.scenes.wake_config import WakeConfig
from air3d.training.config import TabletopTrainConfig, recommended_for

Part = Literal["images-alone", "rivals", "top-view", "scanning", "six-kinds", "perturbed", "shipped", "feedback"]
PARTS: tuple[Part, ...] = get_args(Part)

TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 300, 301, 302


@dataclass(frozen=True)
class Plan:
    """Says how much of everything is done.

    Attributes:
        wake: the training from images alone; each run sets the seed, and the guide's feedback where that is compared.
        sleep: the training on dreams, for the parts `perturbed` and `feedback`.
        supervised: the training of the rivals.
        seeds: seed `images-alone` and every rival.
        feedback_seeds, perturbed_seeds: seed the trainings of these parts.
        train: the number of images that the wake phase learns from.
        validation: the number of images of the learning curves.
        test: the number of images of the final numbers; `perturbed_test`: that for each strength of perturbation.
        points: the number of points of a learning curve.
        bound_samples: the number of posterior samples of each image, for the bounds and the calibration.
        shown: the number of columns of the pictures, the first images of the test set.
        refine_renders: the budgets of refinement, renders for each image.
        timed: the number of images that are timed one by one.
        samples: the number of posterior samples of each strange picture.
        strengths: the strengths of the perturbation, in units of `air3d.scene3d.prior.PERTURBED`.
        shipped, six: the models that are looked for; a part that misses one says so and goes on.
    """

    wake: TabletopTrainConfig = field(default_factory=lambda: recommended_for("wake"))
    sleep: TabletopTrainConfig = field(default_factory=lambda: recommended_for("sleep"))
    supervised: TabletopSupervisedConfig = field(default_factory=TabletopSupervisedConfig)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    feedback_seeds: tuple[int, ...] = (0, 1, 2)
    perturbed_seeds: tuple[int, ...] = (0,)
    train: int = 12_000
    validation: int = 500
    test: int = 2000
    perturbed_test: int = 1000
    points: int = 30
    bound_samples: int = 16
    shown: int = 8
    refine_renders: tuple[int, ...] = (27, 54, 108)
    timed: int = 200
    samples: int = 128
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    shipped: str = "tabletop"
    six: str = "tabletop-6"

    @property
    def size(self) -> int:
        """The side of the images, pixels."""
        return self.wake.guide.size.height


FULL = Plan()
QUICK = Plan(
    wake=TabletopTrainConfig(
        phase="wake",
        iterations=24,
        batch=16,
        warm_up=4,
        wake=WakeConfig(candidates=8, own=6, cameras=4, prior_cameras=32, camera_only=16),
    ),
    sleep=TabletopTrainConfig(iterations=24, batch=32, warm_up=4),
    supervised=TabletopSupervisedConfig(iterations=24, batch=32),
    seeds=(0,),
    feedback_seeds=(0,),
    train=256,
    validation=32,
    test=64,
    perturbed_test=32,
    points=4,
    bound_samples=4,
    shown=4,
    timed=10,
    samples=16,
    strengths=(0.0, 1.0, 2.0),
)
