"""The latents of one object, and their translation into scenes that a renderer draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.cameras import intrinsics, world_to_camera
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import PriorConfig
from air3d.scene3d.scene import Camera, Light


class ObjectLatents(NamedTuple):
    """What is inferred of one object; any batch shape (...).

    Attributes:
        kind: (...) int64, z_what: an index into the prior's kinds.
        position_m: (..., 2), z_where: world x, y.
        yaw_rad: (...).
    """

    kind: Tensor
    position_m: Tensor
    yaw_rad: Tensor


@dataclass(frozen=True)
class SingleObjectSetting:
    """What is known beforehand in the single-object experiment: everything but the object's latents.

    Raises:
        InputError: if the prior leaves anything else open (the count, the camera, sizes, colours or the light).
    """

    prior: PriorConfig

    def __post_init__(self) -> None:
        p, camera = self.prior, self.prior.camera
        if (p.min_objects, p.max_objects) != (1, 1):
            raise InputError(
                f"single-object inference needs scenes of exactly 1 object, not {p.min_objects} to {p.max_objects}; "
                "generate them with 'air3d generate single'"
            )
        for name in ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad"):
            low, high = getattr(camera, name)
            if low != high:
                raise InputError(f"single-object inference needs a fixed camera, but {name} varies: {low} to {high}")
        if p.perturb != type(p.perturb)():
            raise InputError("single-object inference needs unperturbed scenes; generate them without --perturb")

    @property
    def camera(self) -> Camera:
        """The one camera of all scenes."""
        c = self.prior.camera
        return Camera(c.azimuth_rad[0], c.elevation_rad[0], c.distance_m[0], c.look_at_m, c.fovy_rad[0])

    def table_to_image(self, size: int) -> Tensor:
        """Homography (3, 3) from (x, y, 1) in metres, at half the kinds' mean height, to pixels (column, row)."""
        height = float(np.mean([get_kind(name).height_m for name in self.prior.kinds])) / 2.0
        camera = self.camera
        view = intrinsics(camera, size, size) @ world_to_camera(camera, "opencv")[:3]
        return torch.from_numpy(np.stack([view[:, 0], view[:, 1], height * view[:, 2] + view[:, 3]], axis=1)).float()

    def to_batch(self, latents: ObjectLatents) -> SceneBatch:
        """Scenes of one object each, flattened over the batch shape: (prod(...), 1)."""
        kind = latents.kind.reshape(-1, 1).cpu().numpy().astype(np.int64)
        b = len(kind)
        colours = np.array([get_kind(name).colour for name in self.prior.kinds])
        camera, light = self.camera, self.prior.light
        ones = np.ones(b)
        return SceneBatch(
            kinds=self.prior.kinds,
            table=self.prior.table,
            kind=kind,
            position_m=latents.position_m.reshape(-1, 1, 2).cpu().numpy().astype(np.float64),
            yaw_rad=latents.yaw_rad.reshape(-1, 1).cpu().numpy().astype(np.float64),
            scale=np.ones((b, 1)),
            colour=colours[kind],
            camera_azimuth_rad=camera.azimuth_rad * ones,
            camera_elevation_rad=camera.elevation_rad * ones,
            camera_distance_m=camera.distance_m * ones,
            camera_look_at_m=np.tile(camera.look_at_m, (b, 1)),
            camera_fovy_rad=camera.fovy_rad * ones,
            **{f"light_{f}": getattr(light, f) * ones for f in Light.__dataclass_fields__},
        )
