"""The prior of what is worn: patterns and pictures by objects, a cloth by the table, each with some probability."""

from __future__ import annotations

import numpy as np

from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.scene import Cloth
from air3d.scene3d.textures import PLAIN, TEXTURES

# Objects have colours of their own: plain, they wear nothing.
_PATTERNED = tuple(name for name in TEXTURES if name != PLAIN)


def draw_textures(
    rng: np.random.Generator, count: int, probability: float, pictures: tuple[str, ...] = ()
) -> list[str | None]:
    """Draw what each of `count` objects wears, or None for its own looks; half wear pictures, if there are any."""
    return [_draw(rng, probability, _PATTERNED, pictures) for _ in range(count)]


def draw_cloth(rng: np.random.Generator, probability: float, pictures: tuple[str, ...] = ()) -> Cloth | None:
    """Draw a cloth of any colour with any texture, or none; half show pictures, if there are any."""
    texture, colour = _draw(rng, probability, TEXTURES, pictures), rng.random(3)
    return None if texture is None else Cloth(tuple(colour.tolist()), texture)


def log_prob_worn(batch: SceneBatch, probability: float, pictures: tuple[str, ...] = ()) -> Floats:
    """The log-probability (B,) of textures and cloths; the density of a cloth's colour is 1 on the unit cube."""
    of_objects = _log_chances(batch.textures, probability, _PATTERNED, pictures)
    of_cloths = _log_chances(batch.textures, probability, TEXTURES, pictures)
    total = np.where(batch.present, of_objects[batch.texture], 0.0).sum(axis=1)
    if batch.table.scenery is not None:
        return np.asarray(total)
    inside = ((batch.cloth_colour >= 0.0) & (batch.cloth_colour <= 1.0)).all(axis=1) | (batch.cloth_texture == ABSENT)
    return np.asarray(total + np.where(inside, of_cloths[batch.cloth_texture], -np.inf))


def _draw(
    rng: np.random.Generator, probability: float, formulas: tuple[str, ...], pictures: tuple[str, ...]
) -> str | None:
    # Four numbers always: what one object wears does not shift the next one's.
    wears, picture, formula, number = rng.random(4)
    if wears >= probability:
        return None
    if pictures and picture < 0.5:
        return pictures[int(number * len(pictures))]
    return formulas[int(formula * len(formulas))]


def _log_chances(
    names: tuple[str, ...], probability: float, formulas: tuple[str, ...], pictures: tuple[str, ...]
) -> Floats:
    """The log-probabilities of `names`, and last that of nothing, which the index ABSENT (-1) finds."""
    share = 0.5 if pictures else 1.0
    chances = dict.fromkeys(formulas, share * probability / len(formulas))
    chances |= dict.fromkeys(pictures, 0.5 * probability / max(len(pictures), 1))
    with np.errstate(divide="ignore"):
        return np.log([*(chances.get(name, 0.0) for name in names), 1.0 - probability])
