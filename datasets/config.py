"""The configuration of a generated dataset: frozen, validated, saved with it as JSON and read back exactly."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from air3d.datasets.backdrop import Backdrop
from air3d.datasets.image_size import ImageSize, Size
from air3d.datasets.sensor import Sensor
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.arguments import check_is, check_number, natural
from air3d.scene3d.config_json import LATER, config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Detail
from air3d.scene3d.prior import PriorConfig

MAX_NUM = 100_000_000  # keys have eight digits
MIN_SIZE, MAX_SIZE = 8, 2048


class Sharding:
    """How the samples 0 .. num - 1 of a dataset are split into files; a base of every dataset's config.

    Attributes:
        CONTENT: one word for what the samples are; unless it is "scenes", the config has it as its field `content`.
        MEMBERS: the names of the files of every sample.
        num: the number of samples.
        scenes_per_shard: the number of samples in every shard but the last.
    """

    CONTENT: ClassVar[str]
    MEMBERS: ClassVar[tuple[str, ...]]
    num: int
    scenes_per_shard: int

    @property
    @abstractmethod
    def shown_kinds(self) -> tuple[str, ...]:
        """The kinds of object that its samples show, by full name; the dataset carries those of the user's own."""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.num // self.scenes_per_shard)

    def shard_indices(self, shard: int) -> range:
        """The samples in one shard."""
        first = shard * self.scenes_per_shard
        return range(first, min(first + self.scenes_per_shard, self.num))


@dataclass(frozen=True)
class GenerateConfig(Sharding):
    """Everything that the bytes of a dataset depend on, given the versions of the libraries.

    Attributes:
        preset: the name of the preset that `prior` came from, "tabletop" or "single"; informs only.
        num: the number of scenes.
        seed: scene i depends on (this config, seed, i) alone.
        prior: the distribution that scenes are drawn from.
        size: the side of square images, or (width, height), pixels.
        detail: level of detail of the meshes.
        renderer: the name of the backend, never "auto".
        min_visible: scenes with an object of a smaller visible fraction are redrawn; 0 keeps all.
        max_redraws: how often one scene is redrawn before giving up.
        scenes_per_shard: the number of scenes in every shard but the last.
        backdrop: the prior of what is seen behind table and objects.
        sensor: the prior of what happens to pictures after they are rendered.
    """

    CONTENT = "scenes"
    MEMBERS = ("depth.png", "image.png", "scene.json", "segmentation.png")

    preset: str
    num: int
    seed: int
    prior: PriorConfig
    size: Size = 64
    detail: Detail = "inference"
    renderer: str = "gl"
    min_visible: float = 0.1
    max_redraws: int = 100
    scenes_per_shard: int = 512
    backdrop: Backdrop = field(default_factory=Backdrop, metadata=LATER)
    sensor: Sensor = field(default_factory=Sensor, metadata=LATER)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("num", 1, MAX_NUM),
            ("seed", 0, 2**63 - 1),
            ("max_redraws", 0, 100_000),
            ("scenes_per_shard", 1, 100_000),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"generate: {name} is {shown(value)}; it must be a whole number from {low} to {high}")
        size = natural(self.size)
        sides = size if isinstance(size, tuple) else (size, size)
        if len(sides) != 2 or not all(type(side) is int and MIN_SIZE <= side <= MAX_SIZE for side in sides):
            raise InputError(
                f"generate: size is {shown(size)}; it must be a whole number from {MIN_SIZE} to {MAX_SIZE}, or two: "
                "width, height"
            )
        object.__setattr__(self, "size", ImageSize(*sides).plain)
        check_number("generate", "min_visible", self.min_visible, 0.0, 1.0)
        check_is("generate", "backdrop", self.backdrop, Backdrop)
        check_is("generate", "sensor", self.sensor, Sensor)
        if self.detail not in ("inference", "display"):
            raise InputError(f"generate: detail is '{self.detail}'; use 'inference' or 'display'")
        if self.renderer == "auto":
            raise InputError("generate: renderer is 'auto'; choose a backend before making the config")

    @property
    def shown_kinds(self) -> tuple[str, ...]:
        """The kinds, and textures that are kept as kinds, of the prior, and the scenery."""
        return self.prior.kinds + self.prior.table.own_kinds + self.prior.pictures

    @property
    def picture_strengths(self) -> dict[str, float]:
        """The strengths of backdrop and sensor, by name, where they are not 0."""
        strengths = {"backdrop": self.backdrop.strength} | vars(self.sensor)
        return {name: strength for name, strength in strengths.items() if strength}

    @property
    def image_size(self) -> ImageSize:
        """Width and height of the images."""
        return ImageSize.of(self.size)

    @property
    def slots(self) -> int:
        """Object slots of the batches, at least one."""
        return max(self.prior.max_objects, 1)

    @property
    def render_config(self) -> RenderConfig:
        """The configuration that the renderer is made for."""
        prior = self.prior
        return RenderConfig(
            kinds=prior.kinds,
            table=prior.table,
            max_objects=self.slots,
            height=self.image_size.height,
            width=self.image_size.width,
            detail=self.detail,
            varied=prior.varied,
            pictures=prior.pictures,
        )


def default_scenes_per_shard(num: int) -> int:
    """The shard size that gives several processes work even for small datasets: about 16 shards of 32 to 512."""
    return min(max(-(-num // 16), 32), 512)


def config_sha256(config: object) -> str:
    """Fingerprint of a config, hex."""
    text = json.dumps(config_to_dict(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def first_difference(a: object, b: object, path: str = "") -> tuple[str, object, object] | None:
    """Dotted name of the first field in which two `config_to_dict` forms differ, and both values; None if equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            name = " ".join(key.split())[:80]  # a key from outside may be anything
            found = first_difference(a.get(key), b.get(key), f"{path}.{name}" if path else name)
            if found is not None:
                return found
        return None
    return None if a == b and type(a) is type(b) else (path, a, b)
