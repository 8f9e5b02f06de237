"""Variants: kinds drawn from a family of crockery. "mug~7" is the seventh mug, "mug~7~50" the same at half strength.

What is drawn depends on the family, the number and the strength alone. A variant is made when it is first asked for,
and kept by its content as the user's own kinds are (`air3d.scene3d.own_kinds`): its full name, mug~7@DIGEST, means one
content for ever, and datasets carry it.
"""

from __future__ import annotations

import contextlib
import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image

from air3d.scene3d.arrays import Pixels
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.families.crockery import FAMILIES
from air3d.scene3d.families.glaze import Glaze, draw_glaze
from air3d.scene3d.families.patterns import painted
from air3d.scene3d.families.unwrapped import unwrapped
from air3d.scene3d.families.vessel import Vessel
from air3d.scene3d.kind import Circle, Kind
from air3d.scene3d.meshes.obj import obj_text
from air3d.scene3d.meshes.surface import INFERENCE, Mesh, Resolution
from air3d.scene3d.objects.made import digest, recall, remember
from air3d.scene3d.own_kinds import install, is_variant, own_kind
from air3d.scene3d.symmetry import Symmetry

# Half the triangles of the catalog's display meshes: there are many variants, and few look at one closely.
_DISPLAY = Resolution(sides=40, tolerance_m=0.0002, tube_sides=12, tube_step_m=0.005)
_ORIGIN = "a variant of a family, Apache-2.0"
MOST_VARIANTS = 1000
# What stands out is covered by one disc for so much of its length.
_LONGEST_M = 0.045


@lru_cache(maxsize=4096)
def variant(name: str) -> str:
    """Return the full name of a variant, which is made unless it was before.

    Raises:
        InputError: if `make_variant` raises it.
    """
    key = digest("variant", name)
    known = (recall(key) or {}).get("kind")
    with contextlib.suppress(InputError):
        if isinstance(known, str) and known.startswith(f"{name}@"):
            return own_kind(known).name
    full = make_variant(name)
    remember(key, {"kind": full})
    return full


def variants(family: str, count: int, strength: float = 1.0) -> tuple[str, ...]:
    """Return the full names of the first variants of a family.

    Raises:
        InputError: for another number than 1 to 1000, or if `make_variant` raises it.
    """
    if not 1 <= count <= MOST_VARIANTS:
        raise InputError(f"--variants {count}: use 1 to {MOST_VARIANTS} of each family")
    percent = round(100.0 * strength)
    ending = "" if percent == 100 else f"~{percent}"
    return tuple(variant(f"{family}~{number}{ending}") for number in range(1, count + 1))


def with_variants(kinds: tuple[str, ...], count: int, strength: float = 1.0) -> tuple[str, ...]:
    """Put the first variants of a family in place of each kind that is one; all other kinds stay.

    Raises:
        InputError: if none is a family, or `variants` raises it.
    """
    if not any(kind in FAMILIES for kind in kinds):
        raise InputError(f"--vary shape: none of {', '.join(kinds)} is a family; families are {', '.join(FAMILIES)}")
    return tuple(name for kind in kinds for name in (variants(kind, count, strength) if kind in FAMILIES else (kind,)))


def draw_variant(name: str) -> tuple[str, Vessel, Glaze]:
    """Draw the family, shape and glaze that a name such as "mug~7" stands for.

    Raises:
        InputError: if it stands for none.
    """
    family, _, numbers = name.partition("~")
    number, _, percent = numbers.partition("~")
    if not is_variant(name) or family not in FAMILIES:
        raise InputError(f"{shown(name)} is no variant of a family; families are {', '.join(FAMILIES)}")
    strength = int(percent or 100) / 100.0
    if strength > 1.0:
        raise InputError(f"variant '{name}': the strength is {percent} percent; use 0 to 100")
    seed = int.from_bytes(family.encode(), "big")
    shape_rng, glaze_rng = (
        np.random.Generator(np.random.PCG64(stream))
        for stream in np.random.SeedSequence(seed, spawn_key=(int(number),)).spawn(2)
    )
    vessel = FAMILIES[family].draw(shape_rng, strength)
    return family, vessel, draw_glaze(glaze_rng, family, CATALOG[family].colour, strength)


def make_variant(name: str) -> str:
    """Make a variant, put it into the user's cache, and return its full name.

    Raises:
        InputError: if there is none of this name, or no cache can be written.
    """
    family, vessel, glaze = draw_variant(name)
    coarse, fine = (_mesh(vessel, glaze, detail) for detail in (INFERENCE, _DISPLAY))
    symmetry = Symmetry(yaw_order=glaze.yaw_order()) if vessel.turned else Symmetry()
    kind = Kind(
        name=name,
        colour=glaze.colour if glaze.one_colour else (1.0, 1.0, 1.0),
        height_m=round(max(float(mesh.positions_m[:, 2].max()) for mesh in (coarse, fine)), 6),
        footprint=_footprint(vessel),
        symmetry=symmetry,
        gloss=glaze.gloss,
        drawn={"shape": config_to_dict(vessel), "glaze": config_to_dict(glaze)},
    )
    parts = {
        f"{detail}.obj": obj_text(mesh, f"{family}.{detail}", _ORIGIN).encode("ascii")
        for detail, mesh in (("inference", coarse), ("display", fine))
    }
    if not glaze.one_colour:
        parts["texture.png"], parts["inference.png"] = map(_png, painted(vessel, glaze))
    return install(kind, parts)


def _mesh(vessel: Vessel, glaze: Glaze, detail: Resolution) -> Mesh:
    return vessel.mesh(detail) if glaze.one_colour else unwrapped(vessel, detail)


def _footprint(vessel: Vessel) -> tuple[Circle, ...]:
    """Cover the body, turned about the vertical, and what stands out from it along +x and -x, seen from above."""
    parts = [[part.mesh().positions_m for part in vessel.parts(detail)] for detail in (INFERENCE, _DISPLAY)]
    body, *others = (np.concatenate(both) for both in zip(*parts, strict=True))
    body_m = float(np.hypot(body[:, 0], body[:, 1]).max())
    discs = [(0.0, body_m)]
    for points in others:
        half_m, end_m = (float(abs(points[:, axis]).max()) for axis in (1, 0))
        # The disc of the body covers the strip up to here; the rest is cut into rectangles, each inside a disc.
        start_m = math.sqrt(max(body_m**2 - half_m**2, 0.0))
        count = max(0, math.ceil((end_m - start_m) / _LONGEST_M))
        step_m = (end_m - start_m) / max(count, 1)
        side = np.sign(points[abs(points[:, 0]).argmax(), 0])
        discs += [(side * (start_m + (n + 0.5) * step_m), math.hypot(step_m / 2.0, half_m)) for n in range(count)]
    # Rounded up to a micrometre, as the meshes are written.
    return tuple(Circle(round(float(x), 6), 0.0, math.ceil((radius + 2e-6) * 1e6) / 1e6) for x, radius in discs)


def _png(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
