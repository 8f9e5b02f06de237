"""Makes matplotlib's figures, and gives matplotlib a folder where it has none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from air3d.scene3d.cache_folder import writable_cache
from air3d.scene3d.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Make an empty figure of so many inches, laid out by constraints.

    Raises:
        InputError: if matplotlib finds no folder for its fonts' list.
    """
    # Read when matplotlib is imported: what it keeps would else go to the user's home, which may not be writable.
    if not os.environ.get("MPLCONFIGDIR") and (folder := writable_cache("matplotlib")) is not None:
        os.environ["MPLCONFIGDIR"] = str(folder)
    try:
        from matplotlib.figure import Figure
    except OSError as error:
        raise InputError(f"charts: {' '.join(str(error).split())}") from None
    return Figure(figsize=(width, height), layout="constrained", **options)
