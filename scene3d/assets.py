"""Where meshes, textures and weights are: the committed ones, and those of the user's own kinds."""

from __future__ import annotations

from pathlib import Path

from scene3d.errors import InputError
from scene3d.own_kinds import is_own, own_path

_ROOT = Path(__file__).resolve().parent.parent
# In a checkout the folder stands beside the packages; a wheel carries it under a name of its own.
_CANDIDATES = (_ROOT / "assets", _ROOT / "air3d_assets")


def asset_path(*parts: str) -> Path:
    """Path of a file or folder in the assets, for instance `asset_path("meshes", "mug.display.obj")`.

    Files of the user's own kinds are found where those are, in folders that are laid out alike.

    Raises:
        InputError: if it does not exist.
    """
    if is_own(name := parts[-1].partition(".")[0]):
        return own_path(name, *parts)
    for root in _CANDIDATES:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(
        f"asset '{'/'.join(parts)}' is missing; run 'python -m scene3d.meshes.build' in a checkout, or reinstall air3d"
    )
