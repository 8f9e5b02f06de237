"""The families of crockery, by name."""

from __future__ import annotations

from air3d.scene3d.families.bowl import Bowl
from air3d.scene3d.families.glass import Glass
from air3d.scene3d.families.mug import Mug
from air3d.scene3d.families.pan import Pan
from air3d.scene3d.families.plate import Plate
from air3d.scene3d.families.teapot import Teapot
from air3d.scene3d.families.vessel import Vessel

FAMILIES: dict[str, type[Vessel]] = {
    "mug": Mug,
    "plate": Plate,
    "bowl": Bowl,
    "pan": Pan,
    "teapot": Teapot,
    "glass": Glass,
}
