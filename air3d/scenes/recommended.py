"""The parameters and the schedule with which each estimator works from a cold start.

Minimising the exclusive KL (the ELBO: lr, lr-kind, lr-nvil, fd) has to start warm; from 1.5 nats of reward spread it
already collapses onto one kind. Importance weights (rws, vimco) say nothing when warm and do not make the guide hide
objects, so they start and end sharper. All but mixture's end at a spread of the reward, not at the sigma of the
reported bounds. docs/estimators.md has the numbers.
"""

from __future__ import annotations

from typing import NamedTuple

from air3d.scenes.learner import EstimatorConfig, EstimatorName
from air3d.scenes.schedule import CoarseToFine


class Recommended(NamedTuple):
    """The parameters of an estimator, and blur and temperature for it."""

    estimator: EstimatorConfig
    schedule: CoarseToFine


def recommended(name: EstimatorName) -> Recommended:
    """The parameters to train with if only the estimator's name is given."""
    # fd draws 7 pictures for each sample: 2 samples cost 14 renders an image where the others spend 16.
    estimator = EstimatorConfig(name, samples=2) if name == "fd" else EstimatorConfig(name)
    if name in ("rws", "vimco"):
        return Recommended(estimator, CoarseToFine(spread_start=3.0, spread_end=10.0))
    if name == "mixture":
        sigma = CoarseToFine(blur_px=0.0, temperature="sigma", sigma_start=1.2, sigma_end=0.3, anneal=0.6)
        return Recommended(estimator, sigma)
    return Recommended(estimator, CoarseToFine(spread_start=0.5, spread_end=6.0))
