"""Posterior samples as an xarray tree with the groups of ArviZ, and as the NetCDF file of one."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError

if TYPE_CHECKING:
    import xarray

_OF_CAMERA = ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad")
_OF_LIGHT = ("azimuth_rad", "elevation_rad", "diffuse", "ambient")
# The names of axes after chain and draw, by variable.
_OF_OBJECTS = {
    "kind": (),
    "position_m": ("axis",),
    "rotation_wxyz": ("quaternion",),
    "scale": (),
    "colour": ("channel",),
}


def need_arviz() -> None:
    """Raise InputError if a package that trees or their files need is missing."""
    for name in ("xarray", "h5netcdf", "h5py"):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"samples for ArviZ need the package '{name}': pip install 'air3d[arviz]'")


def posterior_tree(
    scenes: SceneBatch,
    log_likelihood: NDArray[np.float64],
    picture: NDArray[np.uint8],
    weight: NDArray[np.float64] | None = None,
) -> xarray.DataTree:
    """Make a tree with the groups posterior, sample_stats and observed_data, one chain of K draws.

    An object's slot is empty where its `kind` is -1; the variable's attributes name the kinds, as CF conventions do.

    Args:
        scenes: the K samples.
        log_likelihood: (K,), nats.
        picture: (H, W, 3), what they explain.
        weight: (K,), where they are weighted.

    Raises:
        InputError: if a package is missing.
    """
    need_arviz()
    import xarray

    def draws(values: NDArray[Any], *axes: str) -> xarray.Variable:
        return xarray.Variable(("chain", "draw", *axes), values[None])

    posterior = {name: draws(getattr(scenes, name), "slot", *axes) for name, axes in _OF_OBJECTS.items()}
    posterior["kind"].attrs = {
        "flag_values": [-1, *range(len(scenes.kinds))],
        "flag_meanings": "empty " + " ".join(scenes.kinds),
    }
    posterior["count"] = draws(scenes.present.sum(axis=1))
    posterior |= {f"camera_{name}": draws(getattr(scenes, f"camera_{name}")) for name in _OF_CAMERA}
    posterior |= {f"light_{name}": draws(getattr(scenes, f"light_{name}")) for name in _OF_LIGHT}
    stats = {"log_likelihood": draws(np.asarray(log_likelihood, np.float64))}
    if weight is not None:
        stats["weight"] = draws(weight)
    axes = {"axis": ["x", "y", "z"], "quaternion": ["w", "x", "y", "z"], "channel": ["r", "g", "b"]}
    ends = {"chain": [0], "draw": np.arange(len(scenes))}
    seen = xarray.Variable(("row", "column", "channel"), picture)
    groups = {
        "posterior": xarray.Dataset(posterior, {**ends, "slot": np.arange(scenes.slots), **axes}),
        "sample_stats": xarray.Dataset(stats, ends),
        "observed_data": xarray.Dataset({"image": seen}, {"channel": axes["channel"]}),
    }
    for group in groups.values():
        group.attrs["inference_library"] = "air3d"
    return xarray.DataTree.from_dict(groups)


def netcdf(tree: xarray.DataTree) -> bytes:
    """Make the bytes of a NetCDF file, which `arviz.from_netcdf` and `xarray.open_datatree` read."""
    file = io.BytesIO()
    tree.to_netcdf(file, engine="h5netcdf")
    return file.getvalue()
