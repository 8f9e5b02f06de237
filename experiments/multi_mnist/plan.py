"""The plan of the multi-MNIST experiments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from air3d.datasets.digits.sources import Split
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.latents import AirConfig
from air3d.digits.train import DigitsTrainConfig

Part = Literal["learning", "generalisation", "foreign", "codes"]
PARTS: tuple[Part, ...] = get_args(Part)

SEEDS: dict[Split, int] = {"train": 300, "validation": 301, "test": 303}
HELD_OUT = "held out"


@dataclass(frozen=True)
class Labels:
    """The plan of the study of codes.

    Attributes:
        sizes: the numbers of labelled images; those beyond the training set are left out.
        iterations: the least iterations of each second network, and of the CNN.
        epochs: the least passes over the labelled images.
        batch: the number of images in a step.
        hidden: the number of units of each hidden layer of the second network.
        learning_rate: the highest learning rate of Adam.
    """

    sizes: tuple[int, ...] = (100, 300, 1000, 3000, 10_000, 60_000)
    iterations: int = 3000
    epochs: int = 34
    batch: int = 256
    hidden: int = 512
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class Plan:
    """Says how much of everything is done.

    Attributes:
        train, validation, test: the number of images of each set.
        training: the training of every model; the seed is set for each run.
        longer: the iterations where fewer do not suffice: three digits among none and one, and codes.
        longer_air: the iterations of AIR whose codes are read; they take about the time of DRAW's.
        explore: the explored share of AIR and DAIR where the images are other than those of the learning experiment.
        seeds: seed AIR with `exact` in the learning experiment; the first `nvil_seeds` of them seed `nvil` too.
        generalisation_seeds: seed every model trained on 0, 1 and 2 digits; `longer_seeds`: on 0, 1 and 3.
        foreign_seeds: seed AIR trained on each preset.
        measure_every: the iterations between points of the curves.
        labels: the plan of the study of codes.
        air, draw, cae: the sizes of the networks; `air` holds those of DAIR's, too.
        codes_air: the sizes of AIR where its codes are read.
    """

    train: int = 60_000
    validation: int = 5000
    test: int = 10_000
    training: DigitsTrainConfig = field(
        default_factory=lambda: DigitsTrainConfig(iterations=2000, precision="bfloat16", explore=0.1)
    )
    longer: int = 8000
    longer_air: int = 24_000
    explore: float = 0.5
    seeds: tuple[int, ...] = tuple(range(10))
    nvil_seeds: int = 3
    generalisation_seeds: tuple[int, ...] = (0, 1, 2)
    longer_seeds: tuple[int, ...] = (0,)
    foreign_seeds: tuple[int, ...] = (0, 1, 2)
    measure_every: int = 250
    labels: Labels = field(default_factory=Labels)
    air: AirConfig = field(default_factory=AirConfig)
    codes_air: AirConfig = field(default_factory=lambda: AirConfig(codec=400, glimpse_channels=(16, 32)))
    draw: DrawConfig = field(default_factory=DrawConfig)
    cae: CaeConfig = field(default_factory=CaeConfig)


FULL = Plan()
QUICK = Plan(
    train=2000,
    validation=300,
    test=300,
    training=DigitsTrainConfig(iterations=400, batch=32),
    longer=400,
    longer_air=400,
    seeds=(0, 1),
    nvil_seeds=1,
    generalisation_seeds=(0,),
    foreign_seeds=(0,),
    measure_every=200,
    labels=Labels(sizes=(50, 200), iterations=60, epochs=1, hidden=256),
    air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    codes_air=AirConfig(shrink=2, hidden=128, codec=100, head=50),
    draw=DrawConfig(steps=3, hidden=64),
    cae=CaeConfig(channels=(8, 16), code=50),
)
