"""The scene prior: one distribution for generation and for the ELBO.

    n ~ uniform{min_objects..max_objects};  kinds | n ~ uniform, with or without repetition (ordered);
        of kinds that are variants, families are uniform, and in each its variants
    poses | kinds, sizes ~ a pose model (`air3d.scene3d.pose_models`)
    camera, light, scale, colour ~ independent uniforms over ranges; a range of zero width is a constant.

Densities are with respect to metres and radians, poses to what their model says, over *ordered* objects; dimensions of
zero width carry none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from air3d.scene3d.arguments import check_flag, check_is, check_number, names, tidy, whole
from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera_prior import CameraBoxes, CameraPrior
from air3d.scene3d.catalog import CROCKERY, full_name, get_kind, kind_shares
from air3d.scene3d.config_json import LATER
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.ground import Ground
from air3d.scene3d.lamps import draw_lamps, log_prob_lamps
from air3d.scene3d.own_kinds import is_own
from air3d.scene3d.pose_models import PoseModel, PoseModelName, Room, pose_model
from air3d.scene3d.ranges import Range, log_uniform, uniform
from air3d.scene3d.scene import Light, Scene, SceneObject, Table
from air3d.scene3d.surface import Surface, Surfaces
from air3d.scene3d.textures import is_texture
from air3d.scene3d.worn import draw_cloth, draw_textures, log_prob_worn

# What `Light` allows.
_LIGHT_LIMITS = {
    "azimuth_rad": (-100.0, 100.0),
    "elevation_rad": (0.0, math.pi / 2),
    "diffuse": (0.0, 2.0),
    "ambient": (0.0, 2.0),
}


@dataclass(frozen=True)
class Perturbation:
    """Half-widths of the nuisance variation (the paper's recipe for transfer); all zero means none.

    Attributes:
        scale: makes sizes uniform in [1 - scale, 1 + scale].
        colour: makes each sRGB channel uniform within this distance of the catalog's value, cut to [0, 1].
        light_angle_rad: is how far the lamp's azimuth and elevation vary.
        light_level: is the share of their values by which the lamp's and the ambient brightness vary.
        lamps: adds none to three further lamps anywhere above the table, each of a brightness between 0 and this;
            0 keeps the lamps of the nominal light.
        texture: is the probability that an object wears a pattern of `air3d.scene3d.textures.TEXTURES` in place of its
            own, and that a cloth of any colour, with any of them or plain, covers the table.
    """

    scale: float = 0.0
    colour: float = 0.0
    light_angle_rad: float = 0.0
    light_level: float = 0.0
    lamps: float = field(default=0.0, metadata=LATER)
    texture: float = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        for name, high in (
            ("scale", 0.5),
            ("colour", 1.0),
            ("light_angle_rad", 0.6),
            ("light_level", 0.9),
            ("lamps", 1.0),
            ("texture", 1.0),
        ):
            check_number("perturbation", name, getattr(self, name), 0.0, high)


PERTURBED = Perturbation(scale=0.1, colour=0.1, light_angle_rad=math.radians(20.0), light_level=0.15)


@dataclass(frozen=True)
class PriorConfig:
    """Parameters of the scene prior.

    Attributes:
        kinds: the names to draw from.
        min_objects, max_objects: bound the count, which is uniform between them, ends included.
        repeat: whether a kind may occur more than once in a scene.
        table, camera, light: the setting; light is the nominal one, varied by `perturb`.
        perturb: the nuisance variation.
        gap_m: the clearance between footprints.
        max_tries: how many arrangements are tried before giving up.
        pose: the pose model (`air3d.scene3d.pose_models`): "upright", standing on the table, turned about the vertical
            alone; "resting", in one of its stable poses; "settled", dropped by physics until they lie still, on the
            table, on and in each other; or "free", in the air, turned in any way.
        supports: surfaces that objects are put on instead of the table, uniformly by area; they are not drawn.
        free_height_m: how high "free" objects are, above the lowest that they can be.
        pictures: the names of pictures (`air3d.scene3d.textures`) that are worn in half of all cases.
        world: the world that it was read from, NAME@DIGEST, the digest of what its file means; None without one.
    """

    kinds: tuple[str, ...] = CROCKERY[:3]
    min_objects: int = 0
    max_objects: int = 3
    repeat: bool = True
    table: Table = field(default_factory=Table)
    camera: CameraPrior | CameraBoxes = field(default_factory=CameraPrior)
    light: Light = field(default_factory=Light)
    perturb: Perturbation = field(default_factory=Perturbation)
    gap_m: float = 0.004
    max_tries: int = 20_000
    pose: PoseModelName = field(default="upright", metadata=LATER)
    supports: tuple[Surface, ...] = field(default=(), metadata=LATER)
    free_height_m: float = field(default=0.2, metadata=LATER)
    pictures: tuple[str, ...] = field(default=(), metadata=LATER)
    world: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        tidy(self)
        object.__setattr__(self, "kinds", tuple(map(full_name, names("prior", "kinds", self.kinds))))
        for name in ("min_objects", "max_objects"):
            whole("prior", name, getattr(self, name))
        check_flag("prior", "repeat", self.repeat)
        for name, kind in (("table", Table), ("light", Light), ("perturb", Perturbation)):
            check_is("prior", name, getattr(self, name), kind)
        if not isinstance(self.camera, (CameraPrior, CameraBoxes)):
            raise InputError(f"prior: camera is {shown(self.camera)}; give a CameraPrior, or CameraBoxes")
        if not self.kinds:
            raise InputError("prior: kinds is empty; name at least one")
        if len(set(self.kinds)) != len(self.kinds):
            raise InputError(f"prior: kinds names one twice: {', '.join(self.kinds)}")
        for name in self.kinds:
            get_kind(name)
        if not 0 <= self.min_objects <= self.max_objects <= 16:
            raise InputError(f"prior: objects from {self.min_objects} to {self.max_objects}; use 0 <= min <= max <= 16")
        if not self.repeat and kind_shares(self.kinds):
            raise InputError("prior: without repetition, every family must have equally many variants among the kinds")
        if not self.repeat and self.max_objects > len(self.kinds):
            raise InputError(
                f"prior: {self.max_objects} objects without repetition need as many kinds; only {len(self.kinds)} given"
            )
        if self.pose not in get_args(PoseModelName):
            raise InputError(f"prior: pose is {shown(self.pose)}; use {', '.join(get_args(PoseModelName))}")
        if isinstance(self.supports, Surface):
            object.__setattr__(self, "supports", (self.supports,))
        if not isinstance(self.supports, tuple):
            raise InputError(f"prior: supports is {shown(self.supports)}; give a list of Surface")
        for surface in self.supports:
            check_is("prior", "one of the supports", surface, Surface)
        check_number("prior", "free_height_m", self.free_height_m, 0.001, 1000.0)
        object.__setattr__(self, "pictures", names("prior", "pictures", self.pictures))
        if unknown := [name for name in self.pictures if not is_texture(name)]:
            raise InputError(f"prior: pictures names {shown(unknown[0])}, which is no texture; make it one first")
        if self.world is not None and not is_own(str(self.world)):
            raise InputError(f"prior: world is {shown(self.world)}; it is NAME@DIGEST")
        check_number("prior", "gap_m", self.gap_m, 0.0, 1.0)
        check_number("prior", "max_tries", self.max_tries, 1, 10_000_000)

    @property
    def orbits(self) -> CameraPrior:
        """The prior over cameras, where it has to be one over orbits.

        Raises:
            InputError: if cameras stand in boxes.
        """
        if not isinstance(self.camera, CameraPrior):
            raise InputError("inference and environments know cameras on orbits, not in boxes; use a CameraPrior")
        return self.camera

    @property
    def largest_scale(self) -> float:
        """The scale that overlap is judged at: the largest that may be drawn."""
        return 1.0 + self.perturb.scale

    @property
    def pose_model(self) -> PoseModel:
        """How objects are posed."""
        places = self.supports or (Surface.of(self.table.place),)
        scenery = self.table.scenery
        ground = Ground(self.supports, scenery=scenery) if self.supports else self.table.ground
        room = Room(Surfaces(places), ground, self.largest_scale, self.gap_m, self.max_tries, self.free_height_m)
        return pose_model(self.pose, room)

    @property
    def varied(self) -> bool:
        """Whether its scenes may be `SceneBatch.varied`."""
        return bool(self.perturb.lamps or self.perturb.texture or self.light.lamps)

    @property
    def light_ranges(self) -> dict[str, Range]:
        """The range of every field of `Light`, cut to values that `Light` allows."""
        light, p = self.light, self.perturb
        spread = (p.light_angle_rad, p.light_angle_rad, p.light_level * light.diffuse, p.light_level * light.ambient)
        return {
            name: (max(getattr(light, name) - d, low), min(getattr(light, name) + d, high))
            for (name, (low, high)), d in zip(_LIGHT_LIMITS.items(), spread, strict=True)
        }

    def colour_ranges(self, kind: str) -> tuple[Range, ...]:
        """The range of each sRGB channel for one kind."""
        d = self.perturb.colour
        return tuple((max(c - d, 0.0), min(c + d, 1.0)) if d else (c, c) for c in get_kind(kind).colour)


class ScenePrior:
    """Draws scenes and gives their log-density."""

    def __init__(self, config: PriorConfig) -> None:
        self.config = config
        self.poses = config.pose_model
        self._light_ranges = config.light_ranges

    def sample(self, rng: np.random.Generator) -> Scene:
        """Draw one scene.

        Raises:
            InputError: if the objects cannot be placed.
        """
        c = self.config
        n = int(rng.integers(c.min_objects, c.max_objects + 1))
        if shares := kind_shares(c.kinds):
            index = rng.choice(len(c.kinds), size=n, p=shares)
        else:
            index = rng.integers(len(c.kinds), size=n) if c.repeat else rng.permutation(len(c.kinds))[:n]
        kinds = tuple(c.kinds[i] for i in index)
        poses = self.poses.sample(rng, kinds)
        camera = c.camera.sample(rng)
        brightness = {name: uniform(rng, span) for name, span in self._light_ranges.items()}
        sizes, colours = [], []
        for kind in kinds:
            sizes.append(uniform(rng, (2.0 - c.largest_scale, c.largest_scale)))
            colour = None
            if c.perturb.colour:
                r, g, b = (uniform(rng, span) for span in c.colour_ranges(kind))
                colour = (r, g, b)
            colours.append(colour)
        # Tuples, for those need not be tidied.
        position, rotation = (map(tuple, part.tolist()) for part in poses(np.array(sizes)))
        parts = zip(kinds, position, rotation, sizes, colours, strict=True)
        objects = tuple(SceneObject(*part) for part in parts)
        # Drawn last: without them the stream is as it was before there were any.
        lamps = draw_lamps(rng, c.perturb.lamps) if c.perturb.lamps else c.light.lamps
        cloth = None
        if c.perturb.texture:
            worn = draw_textures(rng, len(objects), c.perturb.texture, c.pictures)
            objects = tuple(replace(item, texture=name) for item, name in zip(objects, worn, strict=True))
            cloth = None if c.table.scenery else draw_cloth(rng, c.perturb.texture, c.pictures)
        return Scene(objects=objects, camera=camera, table=c.table, light=Light(lamps=lamps, **brightness), cloth=cloth)

    def sample_batch(self, rng: np.random.Generator, size: int) -> SceneBatch:
        """Draw `size` independent scenes with `max_objects` slots (at least one), kinds indexed as in the config."""
        scenes = [self.sample(rng) for _ in range(size)]
        return SceneBatch.from_scenes(scenes, self.config.kinds, max(self.config.max_objects, 1), self.config.table)

    def log_prob(self, batch: SceneBatch) -> Floats:
        """The log-density of each scene, (B,); -inf where it is zero (overlap, off the support, out of range).

        Pose models say with respect to what the density of their poses is. Of "upright" and "resting" a pose may be
        off by 1e-6 rad of tilt and 1e-6 m of height.

        Raises:
            InputError: if the batch indexes other kinds or stands on another table, or scenes are settled: where
                physics leaves them has no density that can be computed.
        """
        return self._scored(batch, self.poses.log_prob)

    def log_surrogate(self, batch: SceneBatch) -> Floats:
        """The same as `log_prob`, but settled scenes are scored by `log_settled`, which is no density: (B,).

        Raises:
            InputError: if the batch indexes other kinds or stands on another table.
        """
        return self._scored(batch, self.poses.log_surrogate)

    def _scored(self, batch: SceneBatch, score: Callable[[SceneBatch], Floats]) -> Floats:
        c = self.config
        if batch.kinds != c.kinds or batch.table != c.table:
            raise InputError("prior: the batch has other kinds or another table than this prior")
        n = batch.present.sum(axis=1)
        total = np.where((n >= c.min_objects) & (n <= c.max_objects), 0.0, -np.inf)
        total -= math.log(c.max_objects - c.min_objects + 1)
        total += self._log_kinds(batch, n)
        total += score(batch)
        total += c.camera.log_prob(batch)
        for name, span in self._light_ranges.items():
            total += log_uniform(getattr(batch, f"light_{name}"), span, periodic=name == "azimuth_rad")
        total += log_prob_lamps(batch.lamps, c.perturb.lamps, c.light)
        total += log_prob_worn(batch, c.perturb.texture, c.pictures)
        scale = log_uniform(batch.scale, (2.0 - c.largest_scale, c.largest_scale))
        total += np.where(batch.present, scale, 0.0).sum(axis=1)
        for k, kind in enumerate(c.kinds):
            for channel, span in enumerate(c.colour_ranges(kind)):
                term = log_uniform(batch.colour[..., channel], span)
                total += np.where(batch.kind == k, term, 0.0).sum(axis=1)
        return np.asarray(total)

    def _log_kinds(self, batch: SceneBatch, n: NDArray[np.int64]) -> Floats:
        k = len(self.config.kinds)
        if shares := kind_shares(self.config.kinds):
            return np.asarray(np.append(np.log(shares), 0.0)[batch.kind].sum(axis=1))
        if self.config.repeat:
            return np.asarray(-n * math.log(k), dtype=np.float64)
        counts = (batch.kind[:, :, None] == np.arange(k)).sum(axis=1)
        fits = np.minimum(n, k)
        return np.where((counts <= 1).all(axis=1), gammaln(k - fits + 1) - gammaln(k + 1), -np.inf)
