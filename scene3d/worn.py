"""The prior of what is worn: patterns by objects, a cloth by the table, each with some probability."""

from __future__ import annotations

import math

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.scene import Cloth
from air3d.scene3d.textures import PLAIN, TEXTURES

# Objects have colours of their own: plain, they wear nothing.
_PATTERNED = tuple(name for name in TEXTURES if name != PLAIN)


def draw_textures(rng: np.random.Generator, count: int, probability: float) -> list[str | None]:
    """Draw what each of `count` objects wears: a pattern, all as likely, or None for its own looks."""
    wears, which = rng.random(count) < probability, rng.integers(len(_PATTERNED), size=count)
    return [_PATTERNED[k] if yes else None for yes, k in zip(wears, which, strict=True)]


def draw_cloth(rng: np.random.Generator, probability: float) -> Cloth | None:
    """Draw a cloth of any colour with any texture, or none."""
    covers, colour, texture = rng.random() < probability, rng.random(3), TEXTURES[rng.integers(len(TEXTURES))]
    return Cloth(tuple(colour.tolist()), texture) if covers else None


def log_prob_worn(batch: SceneBatch, probability: float) -> Floats:
    """The log-probability (B,) of textures and cloths; the density of a cloth's colour is 1 on the unit cube."""
    with np.errstate(divide="ignore"):
        on, off = np.log(probability), np.log1p(-probability)
    texture = np.where(batch.texture == ABSENT, off, on - math.log(len(_PATTERNED)))
    texture = np.where(batch.texture == TEXTURES.index(PLAIN), -np.inf, texture)
    total = np.where(batch.present, texture, 0.0).sum(axis=1)
    if batch.table.scenery is not None:
        return np.asarray(total)
    inside = ((batch.cloth_colour >= 0.0) & (batch.cloth_colour <= 1.0)).all(axis=1)
    covered = np.where(inside, on - math.log(len(TEXTURES)), -np.inf)
    return np.asarray(total + np.where(batch.cloth_texture == ABSENT, off, covered))
