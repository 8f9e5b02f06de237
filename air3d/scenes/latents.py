"""The latents of a tabletop scene, and their translation into scenes that a renderer draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.datasets.image_size import ImageSize
from air3d.distributions.parts import each
from air3d.distributions.so3 import LOG_VOLUME, about_z, yaw_of
from air3d.scene3d.batch import ABSENT, SceneBatch, lamp_rows, unworn
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.poses import unit
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.ranges import Range
from air3d.scenes.pose_space import AnyPose, PoseSpace, Upright
from air3d.scenes.view import Pinhole, View

_CAMERA = ("elevation_rad", "distance_m")
_LIGHT = ("azimuth_rad", "elevation_rad", "diffuse", "ambient")


class Objects(NamedTuple):
    """Objects of any batch shape (...).

    Attributes:
        kind: (...) int64, z_what: an index into the prior's kinds, or ABSENT (z_pres = 0).
        position_m: (..., 3), z_where: the world position of the origin.
        rotation_wxyz: (..., 4), object to world, unit quaternions.
        appearance: (..., L), the perturbed properties, in (0, 1) of their ranges: size, then colour.
    """

    kind: Tensor
    position_m: Tensor
    rotation_wxyz: Tensor
    appearance: Tensor

    @staticmethod
    def upright(kind: Tensor, place_m: Tensor, yaw_rad: Tensor, appearance: Tensor | None = None) -> Objects:
        """Make objects that stand on the table at places (..., 2), turned about the vertical by `yaw_rad` (...).

        Args:
            appearance: (..., L); by default nothing is perturbed.
        """
        position = torch.cat([place_m, torch.zeros_like(place_m[..., :1])], -1)
        return Objects(kind, position, about_z(yaw_rad), place_m[..., :0] if appearance is None else appearance)

    @property
    def place_m(self) -> Tensor:
        """The world x, y of the origins, (..., 2)."""
        return self.position_m[..., :2]

    @property
    def yaw_rad(self) -> Tensor:
        """The yaws (...), in [-pi, pi]; of a tilted object, that of the nearest upright rotation."""
        return yaw_of(self.rotation_wxyz)


class Viewpoint(NamedTuple):
    """Camera and light, which all objects of a scene share, of any batch shape (...).

    Attributes:
        azimuth_rad: (...), the azimuth of the camera.
        shares: (..., G), elevation, distance and the perturbed properties of the light, in (0, 1) of their ranges.
    """

    azimuth_rad: Tensor
    shares: Tensor


class SceneLatents(NamedTuple):
    """A scene: its viewpoint (...), and objects in N slots, (..., N)."""

    viewpoint: Viewpoint
    objects: Objects


@dataclass(frozen=True)
class World:
    """All that is known before an image is seen: the prior, and which of a scene's properties are open.

    Raises:
        InputError: if the camera's azimuth is neither fixed nor free, its field of view varies, it is rolled, aimed
            beside one point, off-centre or in a box, or objects are not upright.
    """

    prior: PriorConfig
    shared: tuple[tuple[str, Range], ...] = field(init=False)
    appearance: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        p, camera = self.prior, self.prior.orbits
        if p.max_objects < 1:
            raise InputError("inference needs a prior that allows at least one object")
        if p.supports:
            raise InputError(
                "inference knows objects on the table alone, not on supports of a world; use data of a table"
            )
        if p.perturb.lamps or p.perturb.texture:
            what = "further lamps" if p.perturb.lamps else "textures"
            raise InputError(f"inference knows no {what} that differ from scene to scene; use data without them")
        if not self.azimuth_known and camera.azimuth_rad[1] - camera.azimuth_rad[0] < 2.0 * math.pi - 1e-6:
            raise InputError(
                "inference needs a camera whose azimuth is fixed, or spans the full turn, (-pi, pi), "
                f"not {camera.azimuth_rad}"
            )
        if not camera.straight:
            raise InputError(
                "inference knows upright cameras alone that look at one point; generate without --camera-roll and "
                "--camera-aim"
            )
        for name in ("fovy_rad", "shift_right", "shift_down"):
            low, high = getattr(camera, name)
            if low != high:
                raise InputError(f"inference needs a fixed field of view, but {name} varies: {(low, high)}")
        ranges = [(f"camera_{name}", getattr(camera, name)) for name in _CAMERA]
        ranges += [(f"light_{name}", p.light_ranges[name]) for name in _LIGHT]
        object.__setattr__(self, "shared", tuple((name, span) for name, span in ranges if span[1] > span[0]))
        appearance = (("scale",) if p.perturb.scale else ()) + (("r", "g", "b") if p.perturb.colour else ())
        object.__setattr__(self, "appearance", appearance)

    @property
    def camera(self) -> CameraPrior:
        """The prior over cameras."""
        return self.prior.orbits

    @property
    def upright(self) -> bool:
        """Tell whether all objects stand upright on the table."""
        return self.prior.pose == "upright"

    @property
    def azimuth_known(self) -> bool:
        """Tell whether the camera's azimuth is the same in all scenes."""
        low, high = self.camera.azimuth_rad
        return low == high

    @property
    def one_object(self) -> bool:
        """Tell whether everything is known but the kind and pose of one object."""
        p = self.prior
        return (
            (p.min_objects, p.max_objects) == (1, 1)
            and self.upright
            and self.azimuth_known
            and not self.shared
            and not self.appearance
        )

    @property
    def height_m(self) -> float:
        """The height of the plane in which an object's place in the image is named: half the kinds' mean height."""
        return float(np.mean([get_kind(name).height_m for name in self.prior.kinds])) / 2.0

    @property
    def log_volume(self) -> float:
        """Log of the ranges' product of `shared`: the step from densities per share to densities per radian, metre."""
        return sum(math.log(high - low) for _, (low, high) in self.shared)

    def log_appearance_volume(self, kind: Tensor) -> Tensor:
        """The same for the appearance of objects of `kind` (...)."""
        low, high = self._colour_ranges()
        volume = np.zeros(len(self.prior.kinds))
        if self.prior.perturb.scale:
            volume += math.log(2.0 * self.prior.largest_scale - 2.0)
        if self.prior.perturb.colour:
            volume += np.log(high - low).sum(-1)
        return torch.from_numpy(volume).float().to(kind.device)[kind]

    def check_alike(self, other: World) -> None:
        """Raise InputError unless scenes of another world have the same latents as of this, and tables at most differ,
        and how far and how high cameras are."""
        a, b = self.prior, other.prior
        for name in ("kinds", "max_objects", "pose", "perturb"):
            if getattr(a, name) != getattr(b, name):
                raise InputError(
                    f"worlds of one model differ in {name}: {shown(getattr(a, name))}, {shown(getattr(b, name))}"
                )
        named = [tuple(name for name, _ in world.shared) for world in (self, other)]
        lenses = [(world.camera.lens, world.azimuth_known) for world in (self, other)]
        if named[0] != named[1] or lenses[0] != lenses[1]:
            raise InputError("worlds of one model need cameras of the same lens, and the same properties that vary")

    @cached_property
    def poses(self) -> PoseSpace:
        """The poses that objects may have."""
        return Upright(self) if self.upright else AnyPose(self)

    def log_prior(self, scenes: SceneBatch) -> NDArray[np.float64]:
        """The log-density (B,) of scenes under the prior, in the units of latents.

        Of objects that rest or are settled it is the surrogate of `ScenePrior.log_surrogate`, which is no density.
        """
        prior = self.prior
        if self.upright:
            return ScenePrior(prior).log_prob(scenes)
        if prior.pose == "free":  # whose rotations are uniform with density one
            return ScenePrior(prior).log_prob(scenes) - LOG_VOLUME * scenes.present.sum(axis=1)
        return ScenePrior(replace(prior, pose="settled")).log_surrogate(scenes)

    def turns(self, device: torch.device | None = None) -> Tensor:
        """(kinds,) bool: True for kinds whose yaw can be seen."""
        return torch.tensor([not get_kind(name).symmetry.continuous_yaw for name in self.prior.kinds], device=device)

    def shared_value(self, viewpoint: Viewpoint, name: str) -> Tensor:
        """The value of one of `shared`, or of a constant of the prior, by its name, in its own unit, (...)."""
        for index, (known, (low, high)) in enumerate(self.shared):
            if known == name:
                return low + (high - low) * viewpoint.shares[..., index]
        return torch.full_like(viewpoint.azimuth_rad, self._constant(name))

    def view(self, viewpoint: Viewpoint, size: ImageSize) -> View:
        """The cameras of scenes, looking at the plane of `height_m`, for images of this size."""
        camera = self.camera
        elevation, distance = (self.shared_value(viewpoint, f"camera_{name}") for name in _CAMERA)
        return View(viewpoint.azimuth_rad, elevation, distance, _pinhole(camera, size), camera.look_at_m, self.height_m)

    def to_batch(self, latents: SceneLatents) -> SceneBatch:
        """Convert latents to scenes, flattened over the batch shape: (prod(...), N)."""
        viewpoint, objects = latents
        slots = objects.kind.shape[-1]
        kind = _array(objects.kind).reshape(-1, slots).astype(np.int64)
        b = len(kind)
        varied = dict(self.shared)
        flat: dict[str, Any] = {
            # A constant of the prior stays exactly that: float32 would put it outside a range of zero width.
            name: np.clip(_array(self.shared_value(viewpoint, name)).reshape(b), *varied[name])
            if name in varied
            else np.full(b, self._constant(name))
            for name in _names()
        }
        appearance = _array(objects.appearance).reshape(b, slots, objects.appearance.shape[-1])
        scale, colour = self._appearance(kind, appearance)
        camera = self.camera
        return SceneBatch(
            kinds=self.prior.kinds,
            table=self.prior.table,
            kind=kind,
            position_m=_array(objects.position_m).reshape(b, slots, 3),
            rotation_wxyz=unit(_array(objects.rotation_wxyz).reshape(b, slots, 4)),
            scale=scale,
            colour=colour,
            camera_azimuth_rad=np.full(b, camera.azimuth_rad[0])
            if self.azimuth_known
            else _array(viewpoint.azimuth_rad).reshape(b),
            camera_look_at_m=np.tile(np.asarray(camera.look_at_m, dtype=np.float64), (b, 1)),
            camera_fovy_rad=np.full(b, camera.fovy_rad[0]),
            camera_roll_rad=np.zeros(b),
            camera_shift=np.tile((camera.shift_right[0], camera.shift_down[0]), (b, 1)),
            camera_fx_over_fy=np.full(b, camera.fx_over_fy),
            lamps=np.tile(lamp_rows(self.prior.light), (b, 1, 1)),
            **unworn(b, slots),
            **flat,
        )

    def from_batch(
        self, scenes: SceneBatch, device: torch.device | None = None, dtype: torch.dtype = torch.float32
    ) -> SceneLatents:
        """Convert scenes back to latents of shape (B,) and (B, N), of numbers of `dtype`.

        Of a world whose objects are upright, heights and tilts are left out.

        Raises:
            InputError: if the batch indexes other kinds.
        """
        if scenes.kinds != self.prior.kinds:
            raise InputError(
                f"scenes of kinds {', '.join(scenes.kinds)}; the model knows {', '.join(self.prior.kinds)}"
            )

        def tensor(array: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)

        columns = [(getattr(scenes, name) - low) / (high - low) for name, (low, high) in self.shared]
        shares = np.stack(columns, axis=-1) if columns else np.zeros((len(scenes), 0))
        appearance = []
        if self.prior.perturb.scale:
            largest = self.prior.largest_scale
            appearance.append((scenes.scale - (2.0 - largest)) / (2.0 * largest - 2.0))
        if self.prior.perturb.colour:
            low, high = self._colour_ranges()
            index = np.maximum(scenes.kind, 0)
            share = (scenes.colour - low[index]) / np.maximum(high - low, 1e-9)[index]
            appearance += [share[..., c] for c in range(3)]
        stacked = np.stack(appearance, axis=-1) if appearance else np.zeros((*scenes.kind.shape, 0))
        kind, looks = torch.from_numpy(scenes.kind).to(device), tensor(np.clip(stacked, 0.0, 1.0))
        if self.upright:
            objects = Objects.upright(kind, tensor(scenes.position_m[..., :2]), tensor(scenes.yaw_rad), looks)
        else:
            objects = Objects(kind, tensor(scenes.position_m), tensor(scenes.rotation_wxyz), looks)
        return SceneLatents(Viewpoint(tensor(scenes.camera_azimuth_rad), tensor(shares)), objects)

    def of_one(self, objects: Objects) -> SceneLatents:
        """Make scenes of one object each from objects (...), where camera and light are known."""
        azimuth = torch.full_like(objects.position_m[..., 0], self.camera.azimuth_rad[0])
        return SceneLatents(
            Viewpoint(azimuth, azimuth[..., None][..., :0]),
            each(objects, lambda part: part.unsqueeze(objects.kind.dim())),
        )

    def no_objects(self, like: Viewpoint, slots: int) -> Objects:
        """Make empty slots (..., slots) for viewpoints of shape (...)."""
        shape = (*like.azimuth_rad.shape, slots)
        zeros = like.azimuth_rad.new_zeros(shape)
        kind = torch.full(shape, ABSENT, dtype=torch.int64, device=zeros.device)
        appearance = zeros[..., None].expand(*shape, len(self.appearance)) + 0.5
        return Objects.upright(kind, zeros[..., None].repeat_interleave(2, -1), zeros, appearance)

    def _constant(self, name: str) -> float:
        part, key = name.split("_", 1)
        low, _ = getattr(self.camera, key) if part == "camera" else self.prior.light_ranges[key]
        return float(low)

    def _appearance(
        self, kind: NDArray[np.int64], appearance: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = self._colour_ranges()
        index = np.maximum(kind, 0)
        colour, scale = low[index], np.ones(kind.shape)
        column = 0
        if self.prior.perturb.scale:
            largest = self.prior.largest_scale
            scale = (2.0 - largest) + (2.0 * largest - 2.0) * appearance[..., 0]
            column = 1
        if self.prior.perturb.colour:
            colour = colour + (high - low)[index] * appearance[..., column:]
        return scale, colour

    def _colour_ranges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ranges = np.array([self.prior.colour_ranges(name) for name in self.prior.kinds])
        return ranges[..., 0], ranges[..., 1]


@lru_cache(maxsize=64)
def _pinhole(camera: CameraPrior, size: ImageSize) -> Pinhole:
    """Make the numbers of the camera matrix once: every step of a training asks for them many times."""
    return Pinhole.of(camera.middle().sized(*size))


def _names() -> list[str]:
    return [f"camera_{name}" for name in _CAMERA] + [f"light_{name}" for name in _LIGHT]


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
