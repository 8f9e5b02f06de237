"""Scenes with their answers, which can be listed, filtered and put in order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.own_kinds import family_of, short_name
from air3d.scene3d.scene import Scene, Table
from air3d.viewer.scene_errors import SceneErrors

Order = Literal["scene", "position", "rotation", "camera", "pixels", "number"]
ORDERS: dict[Order, str] = {
    "scene": "worst scene first",
    "position": "largest position error",
    "rotation": "largest rotation error",
    "camera": "largest camera azimuth error",
    "pixels": "largest pixel error",
    "number": "by number",
}


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture with its true and its inferred scene, as far as they are known.

    Attributes:
        name: its name in lists.
        image: (H, W, 3) uint8.
        truth: the true scene; None for a picture from elsewhere.
        inferred: the answer; None where no model looked at it.
        presence: the probability with which each object of the answer was seen.
        render: (H, W, 3) uint8, the answer drawn as the model sees it.
        errors: the errors of the answer; None unless both scenes are known.
    """

    name: str
    image: NDArray[np.uint8]
    truth: Scene | None = None
    inferred: Scene | None = None
    presence: tuple[float, ...] = ()
    render: NDArray[np.uint8] | None = None
    errors: SceneErrors | None = None

    @property
    def scene(self) -> Scene | None:
        """The scene that filters look at: the true one if it is known, else the answer."""
        return self.inferred if self.truth is None else self.truth

    @property
    def table(self) -> Table:
        """The table that everything stands on; the default one if no scene is known."""
        return Table() if self.scene is None else self.scene.table

    @property
    def rmse(self) -> float | None:
        """The root mean square difference of picture and answer, pixel values in [0, 1]; None without an answer."""
        return None if self.render is None else pixel_rmse(self.image, self.render)


def pixel_rmse(image: NDArray[np.uint8], render: NDArray[np.uint8]) -> float:
    """The root mean square difference of two pictures (H, W, 3), pixel values in [0, 1]."""
    return float(np.sqrt(np.mean(np.square((render.astype(np.float64) - image) / 255.0))))


def listed(kind: str) -> str:
    """The name of a kind in lists: without the digest that the user's own kinds carry, variants as their family."""
    return short_name(family_of(kind))


@dataclass(frozen=True)
class Filter:
    """Says which scenes are listed.

    Attributes:
        count: the number of objects; None for any.
        kind: the kind that the scene has to hold, without its digest, or the family of variants; None for any.
    """

    count: int | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 0:
            raise InputError(f"filter: count is {self.count}; it must be at least 0")

    def passes(self, entry: Entry) -> bool:
        """Tell whether an entry is listed; one without a known scene is listed only if nothing is asked for."""
        if entry.scene is None:
            return self == Filter()
        objects = entry.scene.objects
        counted = self.count in (None, len(objects))
        return counted and (self.kind is None or self.kind in {listed(o.kind) for o in objects})


@dataclass(frozen=True, eq=False)
class Gallery:
    """Entries that all tabs share; it never changes."""

    entries: tuple[Entry, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of objects that occur, ascending."""
        return tuple(sorted({len(entry.scene.objects) for entry in self.entries if entry.scene is not None}))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that occur, as `listed`: the catalog's in its order, then others by name."""
        seen = {listed(o.kind) for entry in self.entries if entry.scene is not None for o in entry.scene.objects}
        return (*(kind for kind in CATALOG if kind in seen), *sorted(seen - CATALOG.keys()))

    def select(self, chosen: Filter, order: Order) -> tuple[int, ...]:
        """List the indices of the entries that pass, the largest error first; those without an error come last.

        "scene" goes by the miscount, then the number of wrong kinds, then the largest position error. Equals stay in
        the order of their numbers.

        Raises:
            InputError: for an unknown order.
        """
        if order not in get_args(Order):
            raise InputError(f"order is {shown(order)}; use one of {', '.join(get_args(Order))}")
        passing = [i for i, entry in enumerate(self.entries) if chosen.passes(entry)]
        if order != "number":
            passing.sort(key=lambda i: badness(self.entries[i], order), reverse=True)
        return tuple(passing)


def badness(entry: Entry, order: Order) -> tuple[float, ...]:
    """The number that an order sorts by: -1 where there is no such error (no object, no rotation), -inf if unknown."""
    if order == "pixels":
        return (-math.inf if entry.rmse is None else entry.rmse,)
    errors = entry.errors
    if errors is None:
        return (-math.inf,)
    if order == "position":
        return (_or_none(errors.position_m),)
    if order == "rotation":
        return (_or_none(errors.rotation_rad),)
    if order == "camera":
        return (errors.azimuth_rad,)
    return (errors.miscounted, errors.wrong_kinds, _or_none(errors.position_m))


def _or_none(value: float | None) -> float:
    return -1.0 if value is None else value
