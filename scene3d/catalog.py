"""The catalog of kinds that can stand on the table: their sizes, colours and symmetries."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Circle, Kind, Rgb
from air3d.scene3d.own_kinds import family_of, is_own, is_variant, own_kind
from air3d.scene3d.symmetry import Symmetry

__all__ = [
    "CATALOG",
    "CROCKERY",
    "PRIMITIVES",
    "Circle",
    "Kind",
    "Rgb",
    "full_name",
    "get_kind",
    "kind_shares",
    "unknown_kind",
]


def _round(radius_m: float) -> tuple[Circle, ...]:
    return (Circle(0.0, 0.0, radius_m),)


_ABOUT_Z = Symmetry(yaw_order=0)

# Handles lie along +x, the teapot's spout along -x: "yaw 0" means the handle points along world +x.
CATALOG: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("mug", (0.70, 0.10, 0.09), 0.100, (Circle(0.0, 0.0, 0.045), Circle(0.060, 0.0, 0.026)), Symmetry()),
        Kind("plate", (0.93, 0.93, 0.90), 0.022, _round(0.100), _ABOUT_Z),
        Kind("bowl", (0.13, 0.27, 0.72), 0.065, _round(0.075), _ABOUT_Z),
        Kind(
            "pan",
            (0.16, 0.16, 0.18),
            0.050,
            (
                Circle(0.0, 0.0, 0.090),
                Circle(0.110, 0.0, 0.024),
                Circle(0.145, 0.0, 0.024),
                Circle(0.180, 0.0, 0.024),
            ),
            Symmetry(),
        ),
        Kind(
            "teapot",
            (0.10, 0.50, 0.26),
            0.140,
            (Circle(0.0, 0.0, 0.070), Circle(0.085, 0.0, 0.032), Circle(-0.085, 0.0, 0.032)),
            Symmetry(),
        ),
        Kind("glass", (0.58, 0.84, 0.90), 0.120, _round(0.036), _ABOUT_Z),
        Kind("cube", (0.80, 0.12, 0.10), 0.100, _round(0.0708), Symmetry(yaw_order=4, group="octahedral")),
        Kind("sphere", (0.12, 0.25, 0.80), 0.120, _round(0.060), Symmetry(yaw_order=0, spherical=True)),
        Kind(
            "cylinder",
            (1.0, 1.0, 1.0),
            0.120,
            _round(0.050),
            Symmetry(yaw_order=2, group="dihedral2"),
            texture="cylinder.png",
        ),
    )
}

CROCKERY = ("mug", "plate", "bowl", "pan", "teapot", "glass")
PRIMITIVES = ("cube", "sphere", "cylinder")


def get_kind(name: str) -> Kind:
    """Return the kind called `name`: one of the catalog, or one of the user's own by its full name, NAME@DIGEST.

    A variant of a family, such as "mug~7", is made if need be; the kind has its full name, "mug~7@DIGEST".

    Raises:
        InputError: if there is none; the message suggests the nearest name.
    """
    kind = CATALOG.get(name)
    if kind is not None:
        return kind
    if is_own(name):
        return own_kind(name)
    if is_variant(name):
        from air3d.scene3d.families.variants import variant

        return own_kind(variant(name))
    raise unknown_kind(name)


def full_name(name: str) -> str:
    """Return the full name of a variant, "mug~7@DIGEST" of "mug~7", which is made if need be; any other as it is.

    Raises:
        InputError: if there is no such variant.
    """
    return get_kind(name).name if is_variant(name) else name


@lru_cache(maxsize=64)
def kind_shares(kinds: tuple[str, ...]) -> tuple[float, ...] | None:
    """How likely each kind is drawn: families all alike, and in a family its variants; None if all kinds are alike."""
    families = [family_of(name) for name in kinds]
    size = Counter(families)
    if len(set(size.values())) < 2:
        return None
    return tuple(1.0 / (len(size) * size[family]) for family in families)


def unknown_kind(name: str, own: Iterable[str] = ()) -> InputError:
    """Make the error for an unknown name, with the nearest one; `own` are names known besides the catalog's."""
    known = [*CATALOG, *own]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    if "," in name:
        hint = "name each kind by itself, without commas; "
    return InputError(f"unknown kind {shown(name)}: {hint}known kinds are {', '.join(known)}")
