"""The families of crockery, by name, and the shapes of kinds."""

from __future__ import annotations

from air3d.scene3d.config_json import config_from_dict
from air3d.scene3d.families.bowl import Bowl
from air3d.scene3d.families.glass import Glass
from air3d.scene3d.families.mug import Mug
from air3d.scene3d.families.pan import Pan
from air3d.scene3d.families.plate import Plate
from air3d.scene3d.families.teapot import Teapot
from air3d.scene3d.families.vessel import Vessel
from air3d.scene3d.kind import Kind

FAMILIES: dict[str, type[Vessel]] = {
    "mug": Mug,
    "plate": Plate,
    "bowl": Bowl,
    "pan": Pan,
    "teapot": Teapot,
    "glass": Glass,
}


def vessel_of(kind: Kind) -> Vessel | None:
    """Return the shape of a kind of the catalog's crockery, or of a variant of one; None for all others.

    Raises:
        InputError: if what a variant says of its shape is none.
    """
    if kind.name in FAMILIES:
        return FAMILIES[kind.name]()
    if kind.family not in FAMILIES or kind.drawn is None:
        return None
    return config_from_dict(FAMILIES[kind.family], kind.drawn.get("shape"), f"kind '{kind.name}'")
