"""Glazes: the colours, the pattern and the gloss of a piece of crockery, in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from air3d.scene3d.arguments import check_number, check_vector, tidy, whole
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import GLOSS, Rgb

Pattern = Literal["plain", "rim", "bands", "stripes", "dots", "waves", "dipped", "speckles"]

# sRGB: what is sold in shops. Whites come several times.
_CERAMIC = (
    (0.95, 0.94, 0.90), (0.93, 0.93, 0.91), (0.90, 0.86, 0.76), (0.94, 0.90, 0.82),
    (0.70, 0.10, 0.09), (0.78, 0.32, 0.18), (0.88, 0.62, 0.16), (0.93, 0.78, 0.38), (0.42, 0.52, 0.30),
    (0.12, 0.36, 0.26), (0.10, 0.46, 0.46), (0.45, 0.68, 0.70), (0.13, 0.27, 0.72), (0.09, 0.14, 0.34),
    (0.55, 0.66, 0.84), (0.50, 0.32, 0.56), (0.85, 0.58, 0.60), (0.86, 0.42, 0.50), (0.32, 0.20, 0.14),
    (0.22, 0.23, 0.25), (0.55, 0.56, 0.55), (0.71, 0.60, 0.48),
)  # fmt: skip
_METAL = (
    (0.16, 0.16, 0.18), (0.10, 0.10, 0.11), (0.24, 0.25, 0.27), (0.55, 0.56, 0.58), (0.68, 0.69, 0.70),
    (0.62, 0.12, 0.10), (0.10, 0.30, 0.42), (0.72, 0.44, 0.28), (0.86, 0.84, 0.76), (0.16, 0.38, 0.28),
)  # fmt: skip
_GLASS = (
    (0.58, 0.84, 0.90), (0.72, 0.88, 0.90), (0.66, 0.86, 0.74), (0.86, 0.70, 0.40), (0.52, 0.58, 0.62),
    (0.88, 0.66, 0.70), (0.38, 0.52, 0.82), (0.74, 0.72, 0.86), (0.40, 0.62, 0.46), (0.84, 0.90, 0.92),
)  # fmt: skip
_PALETTES = {"pan": _METAL, "glass": _GLASS}
_DARK, _LIGHT = (0.12, 0.11, 0.11), (0.95, 0.94, 0.90)
_JITTER, _CONTRAST = 0.03, 0.45
# How likely each pattern is, in the order of `Pattern`.
_WEIGHTS: dict[str, tuple[float, ...]] = {
    "pan": (0.80, 0.10, 0.05, 0.0, 0.0, 0.0, 0.0, 0.05),
    "glass": (0.35, 0.15, 0.15, 0.15, 0.10, 0.05, 0.05, 0.0),
}
_USUAL_WEIGHTS = (0.20, 0.14, 0.14, 0.12, 0.12, 0.08, 0.12, 0.08)


@dataclass(frozen=True)
class Glaze:
    """Says what a piece of crockery looks like, but for its shape. Colours are sRGB in [0, 1].

    Attributes:
        colour: that of the body.
        accent: that of the pattern.
        inside: that of the inside, of the upper side of a plate.
        fittings: that of handle and knob.
        pattern: "plain", "rim" (a line), "bands", "stripes" (upright ones), "dots", "waves", "dipped", "speckles".
        count: how many bands or rows of dots there are, and a fifth of how many stripes, dots, waves go around.
        size: how broad lines and dots are, from 0 to 1.
        gloss: how strongly it mirrors lamps, from 0 (matt) to 1.
    """

    colour: Rgb
    accent: Rgb
    inside: Rgb
    fittings: Rgb
    pattern: Pattern = "plain"
    count: int = 2
    size: float = 0.5
    gloss: float = GLOSS

    def __post_init__(self) -> None:
        tidy(self)
        for name in ("colour", "accent", "inside", "fittings"):
            check_vector("glaze", name, getattr(self, name), 0.0, 1.0)
        if self.pattern not in get_args(Pattern):
            raise InputError(f"glaze: pattern is {shown(self.pattern)}; use {', '.join(get_args(Pattern))}")
        whole("glaze", "count", self.count, 1, 4)
        check_number("glaze", "size", self.size, 0.0, 1.0)
        check_number("glaze", "gloss", self.gloss, 0.0, 1.0)

    @staticmethod
    def plain(colour: Rgb) -> Glaze:
        """Make the glaze of one colour."""
        return Glaze(colour, colour, colour, colour)

    @property
    def one_colour(self) -> bool:
        """True if it needs no texture."""
        return self.pattern == "plain" and self.colour == self.inside == self.fittings

    @property
    def around(self) -> int:
        """How often stripes, dots or waves are repeated around."""
        return 5 * self.count + 2

    def yaw_order(self) -> int:
        """How many turns about the vertical leave it unchanged; 0 means all do."""
        if self.pattern in ("stripes", "dots", "waves"):
            return self.around
        return 1 if self.pattern == "speckles" else 0


def draw_glaze(rng: np.random.Generator, family: str, usual: Rgb, strength: float = 1.0) -> Glaze:
    """Draw a glaze as shops have them for a family.

    Args:
        usual: the colour at strength 0; below strength 1 colours lie as much nearer to it, and patterns are rarer.
    """
    palette = _PALETTES.get(family, _CERAMIC)
    colour = palette[rng.integers(len(palette))]
    others = [*palette, _DARK, _LIGHT]
    far = [other for other in others if np.linalg.norm(np.subtract(other, colour)) > _CONTRAST]
    accent = far[rng.integers(len(far))]
    light_inside, other_fittings = rng.random(2)
    lined = family in ("mug", "bowl", "teapot") and light_inside < 0.35
    inside = (_LIGHT if sum(colour) < 2.3 else accent) if lined else colour
    handled = other_fittings < (0.6 if family == "pan" else 0.2)
    fittings = (_DARK if family == "pan" else accent) if handled else colour
    weights = np.array(_WEIGHTS.get(family, _USUAL_WEIGHTS))
    pattern = get_args(Pattern)[rng.choice(len(weights), p=weights)]
    kept = rng.random() < strength
    count, size = int(rng.integers(1, 5)), float(rng.random())
    jitter = rng.uniform(-_JITTER, _JITTER, 3)
    gloss = float(rng.uniform(0.1, 0.9))

    def near(wanted: Rgb) -> Rgb:
        mixed = (1.0 - strength) * np.array(usual) + strength * np.clip(np.add(wanted, jitter), 0.0, 1.0)
        r, g, b = mixed.round(4).tolist()
        return r, g, b

    return Glaze(
        colour=near(colour),
        accent=near(accent),
        inside=near(inside),
        fittings=near(fittings),
        pattern=pattern if kept else "plain",
        count=count,
        size=size,
        gloss=(1.0 - strength) * GLOSS + strength * gloss,
    )
