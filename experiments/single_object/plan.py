"""The plan of the single-object experiment."""

from __future__ import annotations

from dataclasses import dataclass

from air3d.scenes.learner import EstimatorName

TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 200, 201, 202


@dataclass(frozen=True)
class Plan:
    """Says how much of everything is done.

    Attributes:
        iterations: the iterations of every training, AIR's and the supervised one's.
        train, validation, test: the number of images of each set.
        seeds: seed every training and search.
        estimators: their names; the answers of the first are pictured.
        refined: the estimators whose answers are refined.
        searched: how many of the first test images direct optimisation and refinement are measured on.
        search_renders, refine_renders: the budgets for each image.
    """

    iterations: int = 600
    train: int = 12_000
    validation: int = 256
    test: int = 1000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    estimators: tuple[EstimatorName, ...] = ("lr", "rws", "lr-kind", "lr-nvil", "vimco", "fd", "mixture")
    refined: tuple[EstimatorName, ...] = ("lr", "rws")
    searched: int = 100
    search_renders: tuple[int, ...] = (300, 1000)
    refine_renders: tuple[int, ...] = (50, 200)

    def jobs(self) -> list[tuple[EstimatorName, int]]:
        """The trainings of AIR: (estimator, seed)."""
        return [(name, seed) for seed in self.seeds for name in self.estimators]


FULL = Plan()
QUICK = Plan(
    iterations=250,
    train=2000,
    validation=64,
    test=128,
    seeds=(0,),
    estimators=("lr", "rws"),
    refined=("lr",),
    searched=8,
    search_renders=(400,),
    refine_renders=(50,),
)
