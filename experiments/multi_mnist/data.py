"""Makes the multi-digit datasets of an experiment when they are not there yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import air3d
from air3d.datasets.build import Build, package_versions
from air3d.datasets.config import default_scenes_per_shard
from air3d.datasets.digits.compose import DigitsRecipe
from air3d.datasets.digits.config import PRESETS, DigitsConfig, Preset
from air3d.datasets.digits.reader import DigitsArrays, DigitsDataset
from air3d.datasets.digits.sources import Source, Split, load_digits


@dataclass(frozen=True)
class DigitsStock:
    """Makes and keeps datasets, each made and read once.

    Attributes:
        folder: the folder that holds a folder for each dataset.
        source: the source of the digits.
        mnist_dir: the folder with MNIST's files; None for the cache.
        say: is told of every dataset that is made.
    """

    folder: Path
    source: Source
    mnist_dir: Path | None
    say: Callable[[str], None]
    _read: dict[str, DigitsArrays] = field(default_factory=dict, init=False, repr=False, compare=False)

    def arrays(
        self, split: Split, counts: tuple[int, ...], num: int, seed: int, preset: Preset = "paper"
    ) -> DigitsArrays:
        """Load `num` images of 50x50 pixels, as `air3d generate digits` makes them with its default settings.

        Raises:
            InputError: if the digits are missing, or the folder holds something else.
        """
        name = f"{self.source}-{preset}-{split}-{''.join(map(str, counts))}-{num}-seed{seed}"
        if name in self._read:
            return self._read[name]
        look = PRESETS[preset]
        config = DigitsConfig(
            preset=preset,
            source=self.source,
            split=split,
            source_sha256=load_digits(self.source, split, self.mnist_dir).sha256,
            num=num,
            seed=seed,
            counts=counts,
            shrink_mean=look.shrink_mean,
            shrink_std=look.shrink_std,
            rule=look.rule,
            scenes_per_shard=default_scenes_per_shard(num),
        )
        with Build(config, self.folder / name) as build:
            if build.plan.kept < num:
                self.say(f"making {name}")
            packages = ("numpy", "pillow", "scikit-learn") if self.source == "uci" else ("numpy", "pillow")
            made_with = package_versions(air3d.__version__, *packages)
            build.run(DigitsRecipe(config, self.mnist_dir), made_with, 1, lambda images: None)
        self._read[name] = DigitsDataset(self.folder / name).arrays()
        return self._read[name]
