"""Backend `analytic`: a ray caster in closed form, without MuJoCo or OpenGL. A fake for tests.

Every object is an ellipsoid of revolution of its kind's height and main radius; the table is a disc. Yaw is
made visible by shading: the side of local +x is brightest. Of lights only the further lamps shine, each by its own
brightness times the cosine; of textures none, and of a cloth its colour alone is seen. Pixel centres, conventions and
units are those of the real backends, so that the one contract suite holds for it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.renderers.protocol import Frames, RenderConfig
from air3d.scene3d.arrays import Floats
from air3d.scene3d.batch import ABSENT, SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError
from air3d.scene3d.lamps import lamp_directions

_TABLE_RGB = np.array([0.45, 0.33, 0.22])


class AnalyticRenderer(Closing):
    """Ray caster over ellipsoids on a disc."""

    name = "analytic"

    def __init__(self, config: RenderConfig) -> None:
        self.config = config

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Colour images, (B, H, W, 3) uint8."""
        return self.render_frames(scenes).rgb

    def render_segmentation(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        """Instance segmentation, (B, H, W) uint8."""
        return self.render_frames(scenes).segmentation

    def render_frames(self, scenes: SceneBatch) -> Frames:
        """Colour, depth and segmentation; see `Frames`."""
        if scenes.table != self.config.table or not set(scenes.kinds) <= set(self.config.kinds):
            raise InputError("the scenes have another table or other kinds than this renderer was made for")
        if scenes.varied and not self.config.varied:
            raise InputError("the scenes have further lamps or textures, which this renderer was not made for")
        if scenes.table.ground.walls:
            raise InputError("the analytic renderer draws no walls; use another renderer for a bin")
        self.config.check_count(scenes)
        shape = (len(scenes), self.config.height, self.config.width)
        frames = Frames(np.zeros((*shape, 3), np.uint8), np.full(shape, np.inf, np.float32), np.zeros(shape, np.uint8))
        for b in range(len(scenes)):
            self._cast(scenes, b, frames)
        return frames

    def _cast(self, scenes: SceneBatch, b: int, frames: Frames) -> None:
        h, w = self.config.height, self.config.width
        camera = scenes[b : b + 1].cameras(w, h)
        pose, k = camera.frame[0], camera.matrix[0]
        v, u = np.meshgrid((np.arange(h) - k[1, 2]) / k[1, 1], (np.arange(w) - k[0, 2]) / k[0, 0], indexing="ij")
        # Rays with unit length along the optical axis: the ray parameter is the depth.
        rays = np.stack([u, -v, -np.ones_like(u)], axis=-1) @ pose[:3, :3].T
        eye = pose[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = -eye[2] / rays[..., 2]
            hit = eye + depth[..., None] * rays
            on_table = (depth > 0) & scenes.table.top.contains(hit[..., :2])
        depth = np.where(on_table, depth, np.inf)
        towards = -lamp_directions(scenes)[b] * scenes.lamps[b, :, 2:]
        top = _TABLE_RGB if scenes.cloth_texture[b] == ABSENT else scenes.cloth_colour[b]
        rgb = np.where(on_table[..., None], top * (1.0 + np.maximum(towards[:, 2], 0.0).sum()), 0.0)
        segmentation = np.zeros((h, w), np.uint8)
        for n in np.flatnonzero(scenes.present[b]):
            t, shade = self._object(scenes, b, int(n), eye, rays, towards)
            nearer = t < depth
            depth = np.where(nearer, t, depth)
            rgb = np.where(nearer[..., None], shade[..., None] * scenes.colour[b, n], rgb)
            segmentation[nearer] = n + 1
        frames.rgb[b] = np.rint(255.0 * np.clip(rgb, 0.0, 1.0)).astype(np.uint8)
        frames.depth_m[b], frames.segmentation[b] = depth, segmentation

    def _object(
        self, scenes: SceneBatch, b: int, n: int, eye: Floats, rays: Floats, towards: Floats
    ) -> tuple[Floats, Floats]:
        """Depth (H, W), inf where missed, and shade (H, W) of one ellipsoid."""
        kind = get_kind(scenes.kinds[scenes.kind[b, n]])
        scale = scenes.scale[b, n]
        axes = scale * np.array([kind.footprint[0].radius_m] * 2 + [kind.height_m / 2.0])
        frame = scenes.frames()[b, n]
        turn = frame[:3, :3]
        # In the ellipsoid's own frame, where it is the unit sphere.
        o, d = ((eye - frame[:3, 3]) @ turn - [0.0, 0.0, axes[2]]) / axes, rays @ turn / axes
        a, half_b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1.0
        disc = half_b**2 - a * c
        with np.errstate(invalid="ignore"):
            t = (-half_b - np.sqrt(disc)) / a
        t = np.where((disc > 0.0) & (t > 0.0), t, np.inf)
        local = o + np.where(np.isfinite(t), t, 0.0)[..., None] * d
        normal = local / axes
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
        lamps = np.maximum(normal @ (towards @ turn).T, 0.0).sum(-1)
        return t, 0.7 + 0.3 * local[..., 0] + lamps

    def close(self) -> None:
        """Do nothing; there is nothing to free."""
