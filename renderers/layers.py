"""Backend `layers`: draws every object alone and puts the pictures together by depth.

This is exact without shadows: a pixel shows the nearest surface, in whichever layer. With K candidates for each of N
objects, N * K layers give all K^N pictures, and removing or exchanging one object costs no render at all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.gl import GlRenderer
from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.compiler import light_directions
from air3d.scene3d.errors import InputError


class Layers(NamedTuple):
    """Objects of B scenes drawn one by one, and the bare table.

    Depth is OpenGL's reversed buffer: 0 where nothing is, larger is nearer. It orders pixels exactly as OpenGL
    does, which metres, being rounded once more, would not.

    Attributes:
        rgb: (B, N, H, W, 3) uint8.
        nearness: (B, N, H, W) float32; all 0 for an empty slot.
        table_rgb: (B, H, W, 3) uint8.
        table_nearness: (B, H, W) float32.
    """

    rgb: NDArray[np.uint8]
    nearness: NDArray[np.float32]
    table_rgb: NDArray[np.uint8]
    table_nearness: NDArray[np.float32]


def composite(layers: Layers) -> NDArray[np.uint8]:
    """The pictures of whole scenes, (B, H, W, 3) uint8."""
    rgb, nearness = layers.table_rgb.copy(), layers.table_nearness.copy()
    for n in range(layers.rgb.shape[1]):
        wins = _wins(layers.nearness[:, n], nearness)
        rgb[wins] = layers.rgb[:, n][wins]
        nearness[wins] = layers.nearness[:, n][wins]
    return rgb


def composite_segmentation(layers: Layers) -> NDArray[np.uint8]:
    """Instance segmentation of whole scenes, (B, H, W) uint8, as in `Frames`."""
    nearness = layers.table_nearness.copy()
    segmentation = np.zeros(nearness.shape, dtype=np.uint8)
    for n in range(layers.rgb.shape[1]):
        wins = _wins(layers.nearness[:, n], nearness)
        segmentation[wins] = n + 1
        nearness[wins] = layers.nearness[:, n][wins]
    return segmentation


def _wins(new: NDArray[np.float32], old: NDArray[np.float32]) -> NDArray[np.bool_]:
    # MuJoCo draws with "greater or equal": of two equal depths the later geom stays.
    return (new > 0.0) & (new >= old)


class LayersRenderer(Closing):
    """OpenGL renderer that draws objects one by one.

    Raises:
        InputError: in display detail, whose shadows cross from object to object; or without OpenGL.
    """

    name = "layers"

    def __init__(self, config: RenderConfig) -> None:
        if config.detail != "inference":
            raise InputError("renderer layers: display detail casts shadows between objects; use --detail inference")
        self.config = config
        self._gl = GlRenderer(config)

    def render_layers(self, scenes: SceneBatch) -> Layers:
        """Draw every present object alone, one render each, and the table once for every different camera and light.

        Raises:
            InputError: for scenes that this renderer was not made for.
        """
        b, n = scenes.kind.shape
        shape = (self.config.height, self.config.width)
        rgb = np.zeros((b, n, *shape, 3), dtype=np.uint8)
        nearness = np.zeros((b, n, *shape), dtype=np.float32)
        scene, slot = np.nonzero(scenes.present)
        rgb[scene, slot], nearness[scene, slot] = self._gl.render_raw(scenes.singles(scene, slot), table=False)
        bare = replace(scenes, kind=np.full_like(scenes.kind, ABSENT))
        views, which = _distinct_views(scenes)
        table_rgb, table_nearness = self._gl.render_raw(bare[views], table=True)
        return Layers(rgb, nearness, table_rgb[which], table_nearness[which])

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        self.config.check_count(scenes)
        return composite(self.render_layers(scenes))

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation, (B, H, W) uint8."""
        self.config.check_count(scenes)
        return composite_segmentation(self.render_layers(scenes))

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Take colour and segmentation from layers, metric depth from OpenGL directly; see `Frames`."""
        self.config.check_count(scenes)
        layers = self.render_layers(scenes)
        depth = self._gl.render_frames(scenes).depth_m
        return Frames(composite(layers), depth, composite_segmentation(layers))

    def close(self) -> None:
        """Free the OpenGL context."""
        self._gl.close()


def _distinct_views(scenes: SceneBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find scenes whose views (camera and light) all differ, and for each scene the one among them with its view."""
    camera = scenes.cameras(1, 1)
    lamp = np.column_stack([light_directions(scenes), scenes.light_diffuse, scenes.light_ambient])
    look = np.column_stack(
        [
            scenes.lamps.reshape(len(scenes), math.prod(scenes.lamps.shape[1:])),
            scenes.cloth_texture,
            scenes.cloth_colour,
        ]
    )
    rows = np.concatenate([lamp, look, camera.frame.reshape(-1, 16), camera.matrix.reshape(-1, 9)], axis=1)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, which.reshape(-1)
