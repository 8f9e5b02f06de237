"""Pose models: how the objects of a scene are posed, drawn and scored given their kinds and sizes.

Those that arrange (`Upright`, `Resting`, `Free`) draw every object by itself and redraw all until none overlaps, so
their density is that of the single draws over the probability of no overlap (`air3d.scene3d.placement`). `Settled`
drops objects by physics; that has no density, only a surrogate.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from air3d.scene3d.arrays import Bools, Floats
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.ground import Ground
from air3d.scene3d.placement import (
    Drawn,
    balls_apart,
    discs_apart,
    draw_arrangements,
    footprint_rows,
    log_free_probability,
    place,
)  # fmt: skip
from air3d.scene3d.poses import UPRIGHT, frames_of, product, tilt_of, yaw_of, yawed
from air3d.scene3d.settled_surrogate import log_settled
from air3d.scene3d.stances import ball, stances
from air3d.scene3d.surface import Surfaces

PoseModelName = Literal["upright", "resting", "settled", "free"]

# Drops of one scene before it is given up.
_DROPS = 100


class Poses(NamedTuple):
    """Positions (N, 3) of origins, metres, and rotations (N, 4), object to world, of N objects."""

    position_m: Floats
    rotation_wxyz: Floats


@dataclass(frozen=True)
class Room:
    """All that a pose model knows of a scene beforehand.

    Attributes:
        places: where objects are put.
        ground: all that they may touch.
        scale: the factor on every object that overlap is judged at, the largest that may be drawn.
        gap_m: the clearance between objects.
        max_tries: how many arrangements are tried before giving up.
        height_m: how high above the places `Free` puts objects.
    """

    places: Surfaces
    ground: Ground
    scale: float
    gap_m: float
    max_tries: int
    height_m: float


class PoseModel(ABC):
    """A distribution of the poses of objects given their kinds and sizes."""

    @staticmethod
    def reach_m(kind: str) -> float:
        """How far objects of size 1 of a kind reach from where they are put, seen from above, metres."""
        return get_kind(kind).radius_m

    @abstractmethod
    def sample(self, rng: np.random.Generator, kinds: tuple[str, ...]) -> Callable[[Floats], Poses]:
        """Draw all that is random; return the function from the objects' sizes (N,) to their poses.

        Raises:
            InputError: if the objects cannot be placed; the returned function, too.
        """

    @abstractmethod
    def log_prob(self, batch: SceneBatch) -> Floats:
        """The log-density of each scene's poses, given kinds and sizes: (B,); -inf where it is zero.

        Raises:
            InputError: if there is no density.
        """

    def log_surrogate(self, batch: SceneBatch) -> Floats:
        """The log-density where there is one, else a number that stands in for it: (B,)."""
        return self.log_prob(batch)


@dataclass(frozen=True)
class Arranged(PoseModel):
    """Draws every object by itself, and all anew until none overlaps.

    Its parts are arrays (..., n, ...): what an object's pose is made from by its size, and found from again.
    """

    room: Room

    def __str__(self) -> str:
        return str(self.room.places)

    @property
    @abstractmethod
    def log_uniform(self) -> float:
        """The log-density of an object's continuous part, which is uniform."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, tries: int, kinds: tuple[str, ...]) -> Drawn:
        """Draw unconstrained arrangements, as `Arranging` says."""

    @abstractmethod
    def free(self, kinds: tuple[str, ...], drawn: Drawn, newest_only: bool = False) -> Bools:
        """Tell which arrangements are free of overlap, as `Arranging` says."""

    @abstractmethod
    def pose(self, kinds: tuple[str, ...], drawn: Drawn, scale: Floats) -> Poses:
        """Make poses of one arrangement, of arrays (n, ...), and sizes (n,)."""

    @abstractmethod
    def found(self, kinds: tuple[str, ...], position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Drawn:
        """Find the arrangements (T, n, ...) that poses (T, n, ...) were made from."""

    @abstractmethod
    def log_weight(self, kind: str, position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Floats:
        """The term beside `log_uniform` for objects (M) of one kind; -inf where `found` finds nothing."""

    def sample(self, rng: np.random.Generator, kinds: tuple[str, ...]) -> Callable[[Floats], Poses]:
        """Draw an arrangement without overlap."""
        drawn = place(rng, kinds, self, self.room.max_tries)
        return lambda scale: self.pose(kinds, drawn, scale)

    def log_prob(self, batch: SceneBatch) -> Floats:
        """The sum over objects, less the log-probability of no overlap."""
        weight = np.zeros(batch.kind.shape)
        for k, kind in enumerate(batch.kinds):
            mine = batch.kind == k
            weight[mine] = self.log_weight(kind, batch.position_m[mine], batch.rotation_wxyz[mine], batch.scale[mine])
        total = batch.present.sum(axis=1) * self.log_uniform + weight.sum(axis=1)
        rows, which = np.unique(batch.kind, axis=0, return_inverse=True)
        for u, row in enumerate(rows):
            slots = np.flatnonzero(row >= 0)
            names = tuple(batch.kinds[k] for k in row[slots])
            if len(names) < 2:
                continue
            same = np.flatnonzero(which.reshape(-1) == u)
            here = np.ix_(same, slots)
            drawn = self.found(names, batch.position_m[here], batch.rotation_wxyz[here], batch.scale[here])
            free = self.free(names, drawn)
            log_z = log_free_probability(tuple(sorted(names)), self)
            # Where not one arrangement of very many is free, `sample` gives up: no scene of these kinds has a density.
            total[same] -= np.where(free & np.isfinite(log_z), log_z, np.inf)
        return np.asarray(total)


class Upright(Arranged):
    """Standing upright, turned about the vertical alone; no two footprints are nearer than the gap.

    The density is with respect to area on the places and radians of yaw.
    """

    @property
    def log_uniform(self) -> float:
        """One over the area and a full turn."""
        return -self.room.places.log_area - math.log(2.0 * math.pi)

    def draw(self, rng: np.random.Generator, tries: int, kinds: tuple[str, ...]) -> Drawn:
        """Draw positions (T, n, 3) and yaws (T, n)."""
        return draw_arrangements(rng, tries, len(kinds), self.room.places)

    def free(self, kinds: tuple[str, ...], drawn: Drawn, newest_only: bool = False) -> Bools:
        """Compare the footprints of the kinds."""
        room = self.room
        discs = [footprint_rows(name, room.scale) for name in kinds]
        # Heights count only where places lie one above another.
        level = room.places.level
        spans = None if level else [np.array([[0.0, room.scale * get_kind(name).height_m]]) for name in kinds]
        position, yaw = drawn
        return discs_apart(discs, position, yaw, room.gap_m, newest_only, spans)

    def pose(self, kinds: tuple[str, ...], drawn: Drawn, scale: Floats) -> Poses:
        """Stand them up."""
        position, yaw = drawn
        # By math, whose cosine is the same on all processors.
        turns = [(math.cos(angle / 2.0), 0.0, 0.0, math.sin(angle / 2.0)) for angle in yaw.tolist()]
        return Poses(position, np.array(turns).reshape(-1, 4))

    def found(self, kinds: tuple[str, ...], position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Drawn:
        """Read positions and yaws."""
        return position_m, yaw_of(rotation_wxyz)

    def log_weight(self, kind: str, position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Floats:
        """Count the places that hold the object, if its tilt is at most 1e-6 rad."""
        held = np.where(tilt_of(rotation_wxyz) <= UPRIGHT, self.room.places.holding(position_m), 0)
        return _log(held)


class Resting(Arranged):
    """Resting on a place in one of the kind's stances, by its probability, then turned about the vertical.

    No two convex hulls, seen from above, are nearer than the gap. The density is with respect to area on the places and
    radians of yaw, on the sheets of three dimensions that poses of one stance make; all other poses have none.
    """

    @staticmethod
    def reach_m(kind: str) -> float:
        """The farthest rim of any stance's discs."""
        discs = stances(kind).discs
        return float((np.hypot(discs[..., 0], discs[..., 1]) + discs[..., 2]).max())

    @property
    def log_uniform(self) -> float:
        """One over the area and a full turn."""
        return -self.room.places.log_area - math.log(2.0 * math.pi)

    def draw(self, rng: np.random.Generator, tries: int, kinds: tuple[str, ...]) -> Drawn:
        """Draw the points (T, n, 3) under the origins, yaws (T, n) and the numbers of stances (T, n)."""
        point, yaw = draw_arrangements(rng, tries, len(kinds), self.room.places)
        u = rng.random((tries, len(kinds)))
        chosen = np.zeros((tries, len(kinds)), dtype=np.int64)
        for n, kind in enumerate(kinds):
            ends = np.cumsum(stances(kind).probability)
            chosen[:, n] = np.minimum(np.searchsorted(ends, u[:, n], side="right"), len(ends) - 1)
        return point, yaw, chosen

    def free(self, kinds: tuple[str, ...], drawn: Drawn, newest_only: bool = False) -> Bools:
        """Compare the discs that cover the hulls."""
        point, yaw, chosen = drawn
        pairs = [(stances(kind), chosen[:, n]) for n, kind in enumerate(kinds)]
        discs = [self.room.scale * ways.discs[index] for ways, index in pairs]
        level = self.room.places.level
        spans = None if level else [self.room.scale * ways.span_m[index] for ways, index in pairs]
        return discs_apart(discs, point, yaw, self.room.gap_m, newest_only, spans)

    def pose(self, kinds: tuple[str, ...], drawn: Drawn, scale: Floats) -> Poses:
        """Lay them down, as high as their size makes them."""
        point, yaw, chosen = drawn
        position, rotation = point.copy(), np.zeros((len(kinds), 4))
        for n, kind in enumerate(kinds):
            ways = stances(kind)
            position[n, 2] += scale[n] * ways.height_m[chosen[n]]
            rotation[n] = product(yawed(yaw[n]), ways.rotation_wxyz[chosen[n]])
        return Poses(position, rotation)

    def found(self, kinds: tuple[str, ...], position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Drawn:
        """Find the nearest stances, and the yaws after them."""
        point, yaw = position_m.copy(), np.zeros(scale.shape)
        chosen = np.zeros(scale.shape, dtype=np.int64)
        for n, kind in enumerate(kinds):
            ways = stances(kind)
            chosen[:, n] = nearest = _off(ways.up, rotation_wxyz[:, n]).argmin(axis=1)
            yaw[:, n] = yaw_of(product(rotation_wxyz[:, n], ways.rotation_wxyz[nearest] * (1.0, -1.0, -1.0, -1.0)))
            point[:, n, 2] -= scale[:, n] * ways.height_m[nearest]
        return point, yaw, chosen

    def log_weight(self, kind: str, position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Floats:
        """The stance's probability, times the number of places that hold the object."""
        ways, total = stances(kind), np.zeros(len(position_m))
        for k, off in enumerate(_off(ways.up, rotation_wxyz).T):
            point = position_m - np.multiply.outer(scale * ways.height_m[k], (0.0, 0.0, 1.0))
            total += np.where(off <= UPRIGHT, ways.probability[k] * self.room.places.holding(point), 0.0)
        return _log(total)


class Free(Arranged):
    """In the air above the places, turned in any way; no two balls around objects are nearer than the gap.

    The middle of an object's ball is uniform by area above the places, and from the ball's radius at the largest scale
    up to `height_m` more above them: nothing touches anything. The density is with respect to cubic metres of the
    origin and the uniform probability on rotations.
    """

    @staticmethod
    def reach_m(kind: str) -> float:
        """The ball's radius."""
        return ball(kind)[1]

    @property
    def log_uniform(self) -> float:
        """One over area times height."""
        return -self.room.places.log_area - math.log(self.room.height_m)

    def draw(self, rng: np.random.Generator, tries: int, kinds: tuple[str, ...]) -> Drawn:
        """Draw middles (T, n, 3) and rotations (T, n, 4)."""
        u = rng.random((tries, len(kinds), 3))
        middle = self.room.places.spread(u[..., :2])
        middle[..., 2] += self._radii(kinds) + self.room.height_m * u[..., 2]
        rotation = rng.standard_normal((tries, len(kinds), 4))
        return middle, rotation / np.linalg.norm(rotation, axis=-1, keepdims=True)

    def free(self, kinds: tuple[str, ...], drawn: Drawn, newest_only: bool = False) -> Bools:
        """Compare the balls."""
        return balls_apart(drawn[0], self._radii(kinds), self.room.gap_m, newest_only)

    def pose(self, kinds: tuple[str, ...], drawn: Drawn, scale: Floats) -> Poses:
        """Find the origins below, above or beside the middles."""
        middle, rotation = drawn
        return Poses(middle - _middles(kinds, rotation, scale), rotation)

    def found(self, kinds: tuple[str, ...], position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Drawn:
        """Find the middles."""
        return position_m + _middles(kinds, rotation_wxyz, scale), rotation_wxyz

    def log_weight(self, kind: str, position_m: Floats, rotation_wxyz: Floats, scale: Floats) -> Floats:
        """Count the places above which the middle is in range."""
        middle, _ = self.found((kind,), position_m[:, None], rotation_wxyz[:, None], scale[:, None])
        held = np.zeros(len(position_m), dtype=np.int64)
        for part in self.room.places.parts:
            up = middle[:, 0, 2] - part.position_m[2] - self._radii((kind,))[0]
            # A hair of room for rounding, on the way to the origin and back.
            inside = (up >= -1e-9) & (up <= self.room.height_m + 1e-9)
            held += part.contains(middle[:, 0]) & inside
        return _log(held)

    def _radii(self, kinds: tuple[str, ...]) -> Floats:
        return self.room.scale * np.array([ball(kind)[1] for kind in kinds])


@dataclass(frozen=True)
class Settled(PoseModel):
    """Dropped by physics until they lie still: on the tops, leaning, on and in each other (`air3d.scene3d.physics`)."""

    room: Room

    def sample(self, rng: np.random.Generator, kinds: tuple[str, ...]) -> Callable[[Floats], Poses]:
        """Draw the seed of a stream for the drops."""
        stream = np.random.default_rng(rng.integers(2**63, size=2))

        def drop(scale: Floats) -> Poses:
            from air3d.scene3d.physics import settled

            room, tries = self.room, min(self.room.max_tries, _DROPS)
            end = settled(stream, kinds, scale.tolist(), room.places, room.ground, max_tries=tries)
            return Poses(end.position_m, end.rotation_wxyz)

        return drop

    def log_prob(self, batch: SceneBatch) -> Floats:
        """Refuse: where physics leaves objects has no density that can be computed."""
        raise InputError(
            "prior: scenes of pose model 'settled' can be drawn, but have no density; take log_surrogate, or 'upright'"
        )

    def log_surrogate(self, batch: SceneBatch) -> Floats:
        """The stand-in of `log_settled`, which is no density."""
        return log_settled(batch, self.room.ground.tops)


_MODELS: dict[PoseModelName, type[Upright | Resting | Settled | Free]] = {
    "upright": Upright, "resting": Resting, "settled": Settled, "free": Free
}  # fmt: skip


def reach_m(name: PoseModelName, kind: str) -> float:
    """How far objects of size 1 of a kind reach from where a pose model puts them, seen from above, metres."""
    return _MODELS[name].reach_m(kind)


def pose_model(name: PoseModelName, room: Room) -> PoseModel:
    """Make a pose model by its name."""
    return _MODELS[name](room)


def _off(up: Floats, rotation_wxyz: Floats) -> Floats:
    """How far the vertical in the frames of objects (M, 4) is from each stance's (K, 3): (M, K), radians if small."""
    own = frames_of(np.zeros(3), rotation_wxyz)[:, 2, :3]
    return np.asarray(np.linalg.norm(own[:, None] - up, axis=2))


def _middles(kinds: tuple[str, ...], rotation_wxyz: Floats, scale: Floats) -> Floats:
    """Where the middles of the balls are, seen from the origins: (..., n, 3)."""
    middles = np.array([ball(kind)[0] for kind in kinds]).reshape(-1, 3) * scale[..., None]
    return np.asarray((frames_of(np.zeros(3), rotation_wxyz)[..., :3, :3] @ middles[..., None])[..., 0])


def _log(weights: Any) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(weights, dtype=np.float64))
