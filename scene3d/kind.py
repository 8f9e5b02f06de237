"""Kinds of object: each has a name, a size, a colour, a footprint and a symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from air3d.scene3d.symmetry import Symmetry

Rgb = tuple[float, float, float]
Detail = Literal["inference", "display"]
# How strongly surfaces mirror lamps in display detail, unless a kind says otherwise.
GLOSS = 0.5


@dataclass(frozen=True)
class Circle:
    """A disc of the footprint in the object's own frame, metres."""

    x_m: float
    y_m: float
    radius_m: float


@dataclass(frozen=True)
class Kind:
    """A kind of object, standing upright with its origin on the table at z = 0.

    Attributes:
        name: lower-case identifier; mesh files are named after it. A kind from a mesh of the user's has the digest of
            its content in its name, NAME@DIGEST (`air3d.scene3d.own_kinds`).
        colour: sRGB in [0, 1].
        height_m: the top of the nominal object above the table.
        footprint: the discs which together cover the vertical projection of the nominal object.
        symmetry: the rotational symmetry, about the origin for yaw and about the body's centre
            (0, 0, height_m / 2) for the discrete group.
        texture: the file name of a texture in the assets folder, or None for a plain colour.
        inference_texture: the texture of the inference mesh, if it is another.
        gloss: how strongly it mirrors lamps in display detail, from 0 to 1.
        drawn: holds what was drawn for a variant, its `shape` and `glaze`, as plain JSON values.
    """

    name: str
    colour: Rgb
    height_m: float
    footprint: tuple[Circle, ...]
    symmetry: Symmetry
    texture: str | None = None
    inference_texture: str | None = None
    gloss: float = GLOSS
    drawn: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def family(self) -> str | None:
        """The family that it is a variant of (`air3d.scene3d.families`); None if it is none."""
        family, is_variant, _ = self.name.partition("~")
        return family if is_variant else None

    @property
    def radius_m(self) -> float:
        """The radius of the smallest disc about the origin that covers the footprint."""
        return max((c.x_m**2 + c.y_m**2) ** 0.5 + c.radius_m for c in self.footprint)
