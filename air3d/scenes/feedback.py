"""Feedback: the part of an image that is explained already, as a guide is shown it.

difference  the partial scene as rendered, whose difference from the image is what is still unexplained (as in
            DAIR); and beside the empty table, as it would be seen from where the first look puts the camera, a
            second look for the camera, which names what is left of the error
marks       soft dots at the places already named, a channel for each kind: nothing is rendered
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.scene3d.batch import ABSENT
from air3d.scenes.depth import COLOURS, deeper
from air3d.scenes.latents import SceneLatents, Viewpoint, World

if TYPE_CHECKING:
    from air3d.scenes.painter import Painter

FeedbackName = Literal["difference", "marks"]

_MARK_PX = 2.5
# Depths that differ by more count as this.
_FAR_M = 0.1


class Shown(NamedTuple):
    """The feedback that a step is shown of B images.

    Attributes:
        channels: (B, C, S, S), beside the image.
        drawn: (B, 3, S, S), the picture of what is explained, where it is in them.
    """

    channels: Tensor
    drawn: Tensor | None = None


class Seen(Protocol):
    """The answers of a look for the camera to B images."""

    def mode(self) -> Viewpoint:
        """The viewpoints (B,) that it names."""
        ...


_Seen_co = TypeVar("_Seen_co", bound=Seen, covariant=True)


class Looker(Protocol[_Seen_co]):
    """A network that looks for the camera of images (B, 3, S, S)."""

    def first_look(self, images: Tensor) -> _Seen_co:
        """Look at the images alone."""
        ...

    def second_look(self, images: Tensor, empty: Tensor, first: Viewpoint) -> _Seen_co:
        """Look beside the empty table (B, 3, S, S) as seen from viewpoints (B,)."""
        ...


class Feedback(Protocol):
    """A way of showing a guide what is explained."""

    @property
    def channels(self) -> int:
        """C, the number of channels that a step sees beside the image's."""
        ...

    @property
    def second_look(self) -> bool:
        """Whether the guide has a second network for the camera."""
        ...

    def cameras(self, guide: Looker[_Seen_co], images: Tensor, painter: Painter) -> tuple[_Seen_co, ...]:
        """Let the guide look for the camera of images (B, 3, S, S); the last look is its answer."""
        ...

    def show(self, images: Tensor, painter: Painter, scene: SceneLatents, drawn: Tensor | None = None) -> Shown:
        """Show how far a scene, (B,) and (B, N), explains images (B, 3, S, S).

        Args:
            drawn: (B, 3, S, S), the picture of the scene, where it has been drawn already.
        """
        ...

    def most_renders(self, slots: int) -> int:
        """The most renders that the greedy answer to an image costs, of up to `slots` objects."""
        ...


@dataclass(frozen=True)
class Difference:
    """Shows the image minus the partial scene as rendered."""

    world: World
    depth: bool = False
    second_look = True

    @property
    def channels(self) -> int:
        return 3 + self.depth

    def cameras(self, guide: Looker[_Seen_co], images: Tensor, painter: Painter) -> tuple[_Seen_co, ...]:
        first = guide.first_look(images)
        viewpoint = first.mode()
        empty = painter.draw(SceneLatents(viewpoint, self.world.no_objects(viewpoint, self.world.prior.max_objects)))
        return first, guide.second_look(images, empty, viewpoint)

    def show(self, images: Tensor, painter: Painter, scene: SceneLatents, drawn: Tensor | None = None) -> Shown:
        drawn = painter.draw(scene) if drawn is None else drawn
        channels = images[:, :COLOURS] - drawn[:, :COLOURS]
        if self.depth:
            channels = torch.cat([channels, (-deeper(drawn, images)[0] / _FAR_M).clamp(-1.0, 1.0)], 1)
        return Shown(channels, drawn)

    def most_renders(self, slots: int) -> int:
        return 1 + slots  # the empty table, and one before each step


@dataclass(frozen=True)
class Marks:
    """Shows soft dots at the places of the objects in the image, of this size."""

    world: World
    size: ImageSize
    second_look = False

    @property
    def channels(self) -> int:
        return len(self.world.prior.kinds)

    def cameras(self, guide: Looker[_Seen_co], images: Tensor, painter: Painter) -> tuple[_Seen_co, ...]:
        return (guide.first_look(images),)

    def show(self, images: Tensor, painter: Painter, scene: SceneLatents, drawn: Tensor | None = None) -> Shown:
        viewpoint, objects = scene
        pixel = self.world.poses.pixel(self.world.view(viewpoint, self.size).each(), objects)
        columns, rows = (
            torch.exp(-0.5 * ((torch.arange(side).to(pixel) - pixel[..., axis, None]) / _MARK_PX).square())
            for axis, side in enumerate(self.size)
        )  # (B, N, W) and (B, N, H)
        dots = rows[..., None] * columns[:, :, None]
        here = nn.functional.one_hot(objects.kind.clamp_min(0), self.channels) * (objects.kind != ABSENT)[..., None]
        return Shown(torch.einsum("bnk,bnrc->bkrc", here.to(dots), dots))

    def most_renders(self, slots: int) -> int:
        return 0


def make_feedback(name: FeedbackName, world: World, size: ImageSize, depth: bool = False) -> Feedback:
    """Make the feedback of that name for images of this size."""
    return Difference(world, depth) if name == "difference" else Marks(world, size)
