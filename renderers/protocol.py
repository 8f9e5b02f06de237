"""The protocol of every renderer backend: it takes a batch of scenes and gives pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arguments import check_flag, check_is, names, tidy, whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import full_name
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Detail
from air3d.scene3d.scene import Table

MAX_SIDE = 4096
MAX_SLOTS = 200
# Raised whenever the same scenes give other pictures; every shard says which it was drawn with, and none means 1.
# 2: surfaces that are not closed are no longer speckled in `gl`, `gl_pool`, `layers` (inference detail) and `warp`.
# 3: rays of `warp` come from the camera matrix; with a field of view other than 40 degrees their last bit may differ.
PICTURES_VERSION = 3


@dataclass(frozen=True)
class RenderConfig:
    """The configuration that a renderer is made for.

    Attributes:
        kinds: the kinds that it can show.
        table: the table of every scene.
        max_objects: the number of object slots in a scene.
        height, width: the image size in pixels.
        detail: "inference" (few triangles, no shadows, no multisampling) or "display" (smooth, textured, shadows).
        varied: whether scenes may have further lamps, textures, cloths (`SceneBatch.varied`), which costs time.
        pictures: the names of textures that they may wear then, beside `air3d.scene3d.textures.TEXTURES`.
    """

    kinds: tuple[str, ...]
    table: Table = field(default_factory=Table)
    max_objects: int = 3
    height: int = 64
    width: int = 64
    detail: Detail = "inference"
    varied: bool = False
    pictures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tidy(self)
        object.__setattr__(self, "kinds", tuple(map(full_name, names("renderer", "kinds", self.kinds))))
        check_is("renderer", "table", self.table, Table)
        for name in ("height", "width"):
            whole("renderer", name, getattr(self, name), 1, MAX_SIDE)
        whole("renderer", "max_objects", self.max_objects, 0, MAX_SLOTS)
        object.__setattr__(self, "pictures", names("renderer", "pictures", self.pictures))
        check_flag("renderer", "varied", self.varied)
        if self.detail not in ("inference", "display"):
            raise InputError(f"renderer: detail is {shown(self.detail)}; use 'inference' or 'display'")

    def check_count(self, scenes: SceneBatch) -> None:
        """Raise InputError if a scene holds more objects than the renderer was made for."""
        most = int(scenes.present.sum(axis=1).max(initial=0))
        if most > self.max_objects:
            raise InputError(f"a scene holds {most} objects; this renderer was made for {self.max_objects}")


class Frames(NamedTuple):
    """Pixels of B scenes with their geometry.

    Attributes:
        rgb: (B, H, W, 3) uint8; row 0 is the top of the image.
        depth_m: (B, H, W) float32, metres along the optical axis; +inf where nothing is seen.
        segmentation: (B, H, W) uint8; 0 for background and table, n + 1 for the object in slot n.
    """

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    segmentation: NDArray[np.uint8]


class Renderer(Protocol):
    """A backend. Every batch is drawn at the size, with the kinds and on the table of `config`.

    All methods raise InputError for scenes that it was not made for. Use as a context manager, or call `close`.
    """

    @property
    def name(self) -> str:
        """The backend's name in tables and JSON."""
        ...

    @property
    def config(self) -> RenderConfig: ...

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        ...

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and instance segmentation."""
        ...

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation alone, (B, H, W) uint8."""
        ...

    def close(self) -> None:
        """Free all that it holds. Closing twice is fine; rendering after it is an error."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
