"""Finds meshes, textures and weights: the committed ones, and those of the user's own kinds."""

from __future__ import annotations

from pathlib import Path

from air3d.scene3d.errors import InputError
from air3d.scene3d.own_kinds import is_own, own_path

# In a checkout `scene3d` stands beside the assets and is linked into air3d; in a wheel both are inside air3d.
_ASSETS = Path(__file__).resolve().parent.parent / "assets"


def asset_path(*parts: str) -> Path:
    """Find a file or folder in the assets, for instance `asset_path("meshes", "mug.display.obj")`.

    Files of the user's own kinds are found in those kinds' folders, which are laid out alike.

    Raises:
        InputError: if it does not exist.
    """
    if is_own(name := parts[-1].partition(".")[0]):
        return own_path(name, *parts)
    path = _ASSETS.joinpath(*parts)
    if path.exists():
        return path
    raise InputError(
        f"asset '{'/'.join(parts)}' is missing; "
        "run 'python -m air3d.scene3d.meshes.build' in a checkout, or reinstall air3d"
    )
