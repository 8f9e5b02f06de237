"""Codes of kinds: what a guide is told of the kind of an object, and names kinds by.

A kind's number means nothing to a network that was not trained with it. A code that is computed from pictures of the
kind means the same for kinds that look alike: a guide that has learned to read such codes is told of further kinds by
showing it their pictures, and learns them from there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.orbit import NEAREST_M, Orbit
from air3d.scene3d.poses import unit_quaternion
from air3d.scene3d.scene import Scene, SceneObject
from air3d.scene3d.stances import ball

# A kind is drawn as the twelve rotations of a tetrahedron turn it, so large that its ball nearly fills the picture, and
# so high above the table that nothing hides it.
_TURNS = Rotation.create_group("T")
VIEWS, SIDE = len(_TURNS), 32
_AIR_M, _MARGIN = 1.0, 1.1
_WIDTHS, _VIEW_CODE, _HIDDEN = (16, 32, 32), 32, 128


# The name that a guide's weights have for the pictures of its kinds.
KIND_PICTURES = "kind_codes.pictures"


class KindCodes(nn.Module, ABC):
    """The codes of a world's kinds.

    Attributes:
        size: the numbers in a code.
    """

    size: int

    @abstractmethod
    def forward(self, kind: Tensor) -> Tensor:
        """The codes (..., size) of kinds (...), indices."""

    @abstractmethod
    def logits(self, named: Tensor) -> Tensor:
        """The logits (..., kinds) of the kinds, given what a network names, (..., size)."""

    def meet(self, renderer: Renderer) -> None:
        """Look at the kinds' pictures, if the codes are computed from them, and it has not done so."""


class OneHot(KindCodes):
    """One number for each of so many kinds."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.size = kinds

    def forward(self, kind: Tensor) -> Tensor:
        return nn.functional.one_hot(kind, self.size).float()

    def logits(self, named: Tensor) -> Tensor:
        return named


class PictureCodes(KindCodes):
    """Codes of `size` numbers that a network computes from pictures of the kinds, and the kinds' sizes.

    Its buffer `pictures` (kinds * VIEWS, 4, SIDE, SIDE) uint8, colours and outline, is stored with the weights.
    """

    pictures: Tensor
    radius: Tensor

    def __init__(self, kinds: tuple[str, ...], size: int) -> None:
        super().__init__()
        self.kinds, self.size = kinds, size
        layers, before, side = list[nn.Module](), 4, SIDE
        for width in _WIDTHS:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.SiLU()]
            before, side = width, side // 2
        self.view = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side**2, _VIEW_CODE), nn.SiLU())
        self.whole = nn.Sequential(
            nn.Linear(VIEWS * _VIEW_CODE + 1, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, size), nn.LayerNorm(size)
        )
        self.register_buffer("pictures", torch.zeros(len(kinds) * VIEWS, 4, SIDE, SIDE, dtype=torch.uint8))
        radius = torch.tensor([[math.log(10.0 * ball(kind)[1])] for kind in kinds])
        self.register_buffer("radius", radius, persistent=False)
        self._kept: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, kind: Tensor) -> Tensor:
        return self.codes()[kind]

    def logits(self, named: Tensor) -> Tensor:
        return named @ self.codes().T / math.sqrt(self.size)

    def codes(self) -> Tensor:
        """The codes (kinds, size); where no gradient is wanted, they are computed once for the same weights."""
        state = (*(part._version for part in self.parameters()), self.pictures._version, self.radius.device)
        if not torch.is_grad_enabled() and self._kept is not None and self._kept[0] == state:
            return self._kept[1]
        with torch.autocast(self.radius.device.type, enabled=False):
            views = self.view(self.pictures.float() / 255.0).reshape(len(self.kinds), -1)
            codes: Tensor = self.whole(torch.cat([views, self.radius], -1))
        if not torch.is_grad_enabled():
            self._kept = state, codes
        return codes

    def meet(self, renderer: Renderer) -> None:
        if not self.pictures.any():
            self.pictures.copy_(torch.from_numpy(draw_kinds(renderer, self.kinds)))


def make_kind_codes(kinds: tuple[str, ...], size: int) -> KindCodes:
    """Make codes of so many numbers that are computed from pictures; or with none, one number for each kind."""
    return PictureCodes(kinds, size) if size else OneHot(len(kinds))


def draw_kinds(renderer: Renderer, kinds: tuple[str, ...]) -> NDArray[np.uint8]:
    """Draw every kind as it looks from VIEWS sides: (kinds * VIEWS, 4, SIDE, SIDE), colours and outline."""
    config = renderer.config
    scenes = [_scene(kind, turn, config) for kind in kinds for turn in _TURNS]
    frames = renderer.render_frames(SceneBatch.from_scenes(scenes, config.kinds, max(config.max_objects, 1)))
    seen = (frames.segmentation > 0)[..., None]
    pictures = np.concatenate([frames.rgb * seen, 255 * seen], -1)
    side = min(config.height, config.width)
    top, left = (config.height - side) // 2, (config.width - side) // 2
    square = torch.from_numpy(pictures[:, top : top + side, left : left + side]).permute(0, 3, 1, 2).float()
    small = nn.functional.interpolate(square, (SIDE, SIDE), mode="area")
    return np.asarray(small.round().to(torch.uint8).numpy())


def _scene(kind: str, turn: Rotation, config: RenderConfig) -> Scene:
    """A kind in the air, turned, as large as the shorter side of the pictures allows."""
    middle, radius = ball(kind)
    x, y, z = (-turn.apply(middle)).tolist()
    item = SceneObject(kind, (x, y, z + _AIR_M), unit_quaternion("kind", tuple(turn.as_quat(scalar_first=True))))
    half_rad = math.atan(math.tan(Orbit().fovy_rad / 2.0) / max(config.height / config.width, 1.0))
    far = max(_MARGIN * radius / math.sin(half_rad), NEAREST_M)
    camera = Orbit(elevation_rad=math.radians(30.0), distance_m=far, look_at_m=(0.0, 0.0, _AIR_M))
    return Scene((item,), camera, config.table)
