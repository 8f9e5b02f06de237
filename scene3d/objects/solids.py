"""The bodies for collisions, in the object's frame, as a kind keeps them: primitives and hulls.

They are the file's or made for it. Nothing that draws needs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from air3d.scene3d.arrays import Floats
from air3d.scene3d.objects.raw_mesh import Solid

SCHEMA = "air3d-solids/1"


def solids_text(solids: Iterable[Solid], frame: Floats, source: str = "file") -> bytes:
    """Write bodies as JSON.

    Args:
        frame: (4, 4), from the file's coordinates to the object's; it may scale.
        source: says where they come from (`air3d.scene3d.solids`).
    """
    unit = float(np.cbrt(np.linalg.det(frame[:3, :3])))
    written: list[dict[str, Any]] = []
    for solid in solids:
        pose = frame @ solid.frame
        if solid.kind == "hull":
            points = _hull(solid.points) @ pose[:3, :3].T + pose[:3, 3]
            written.append({"kind": "hull", "points_m": points.round(6).tolist()})
            continue
        rotation = Rotation.from_matrix(pose[:3, :3] / unit).as_quat(canonical=True, scalar_first=True)
        written.append(
            {
                "kind": solid.kind,
                "size_m": [round(unit * value, 6) for value in solid.size],
                "position_m": pose[:3, 3].round(6).tolist(),
                "rotation_wxyz": rotation.round(6).tolist(),
            }
        )
    return json.dumps({"schema": SCHEMA, "source": source, "solids": written}, allow_nan=False).encode() + b"\n"


def _hull(points: Floats) -> Floats:
    """The corners of the convex hull of points (P, 3); all of them, if they are flat."""
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        return np.unique(points, axis=0)
