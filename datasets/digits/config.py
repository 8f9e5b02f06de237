"""The configuration of a multi-digit dataset: frozen, validated, saved with it as JSON and read back exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from air3d.datasets.config import MAX_NUM, Sharding
from air3d.datasets.digits.sources import SIDE_PX, Source, Split
from air3d.scene3d.arguments import check_number
from air3d.scene3d.errors import InputError, shown

MAX_COUNT, MAX_CANVAS_PX = 16, 512

Preset = Literal["paper", "pyro"]
Rule = Literal["apart", "sum"]


@dataclass(frozen=True)
class DigitsConfig(Sharding):
    """Everything that the bytes of a dataset depend on, given the versions of the libraries.

    Attributes:
        preset: the name of the preset that `shrink_mean`, `shrink_std` and `rule` came from; informs only.
        source, split: name the set and the part of it that the digits come from.
        source_sha256: the fingerprint of those digits (`DigitSet.sha256`).
        num: the number of images.
        seed: image i depends on (this config, seed, i) alone.
        counts: the numbers of digits that an image may have, all equally likely.
        canvas: height and width of the images, pixels.
        shrink_mean, shrink_std: a digit of 28 pixels is resized to int(28 / s) pixels with s ~ N(mean, std).
        rule: tells which overlap is refused. "apart": the boxes around two digits' ink overlap; "sum": some pixel's sum
            exceeds 255.
        scenes_per_shard: the number of images in every shard but the last.
        content: tells this config from those of other datasets.
    """

    CONTENT = "digits"
    MEMBERS = ("digits.json", "image.png")

    preset: Preset
    source: Source
    split: Split
    source_sha256: str
    num: int
    seed: int
    counts: tuple[int, ...] = (0, 1, 2)
    canvas: int = 50
    shrink_mean: float = 1.0
    shrink_std: float = 0.0
    rule: Rule = "apart"
    scenes_per_shard: int = 512
    content: Literal["digits"] = "digits"

    @property
    def shown_kinds(self) -> tuple[str, ...]:
        """Empty: digits are no objects."""
        return ()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num", 1, MAX_NUM),
            ("seed", 0, 2**63 - 1),
            ("canvas", 8, MAX_CANVAS_PX),
            ("scenes_per_shard", 1, 100_000),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"generate: {name} is {shown(value)}; it must be a whole number from {low} to {high}")
        if not self.counts or len(set(self.counts)) < len(self.counts):
            raise InputError(f"generate: counts is {shown(self.counts)}; name different numbers of digits")
        if not all(0 <= count <= MAX_COUNT for count in self.counts):
            raise InputError(f"generate: counts is {shown(self.counts)}; they must lie between 0 and {MAX_COUNT}")
        check_number("generate", "shrink_mean", self.shrink_mean, 0.2, 4.0)
        check_number("generate", "shrink_std", self.shrink_std, 0.0, 1.0)
        if self.typical_px > self.canvas:
            raise InputError(
                f"generate: canvas is {self.canvas} pixels; digits of {self.typical_px} pixels need at least as many"
            )

    @property
    def typical_px(self) -> int:
        """The side of a digit of average size, pixels."""
        return math.floor(SIDE_PX / self.shrink_mean)


@dataclass(frozen=True)
class Look:
    """The values that a preset decides; see `DigitsConfig`."""

    shrink_mean: float
    shrink_std: float
    rule: Rule


# "paper": digits of 28 pixels, not overlapping (Eslami et al. 2016, section 3.1). "pyro": as the generator that comes
# with Pyro's AIR example: digits shrunk by about 1.3, which may touch but not add up to more than white.
PRESETS: dict[Preset, Look] = {"paper": Look(1.0, 0.0, "apart"), "pyro": Look(1.3, 0.1, "sum")}
