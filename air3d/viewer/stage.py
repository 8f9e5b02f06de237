"""The table in 3D for one tab: objects, ghosts, labels and cameras."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import Rgb, get_kind
from air3d.scene3d.compiler import light_directions
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.scene import TABLE_THICKNESS_M, Scene, SceneObject, Table
from air3d.viewer.meshes import INFERENCE_COLOUR, TRUTH_COLOUR, ghost_glb, object_glb, table_glb

if TYPE_CHECKING:
    import viser

Layer = Literal["truth", "inference"]
Key = tuple[Layer, str, Rgb | None, int]

_LABEL_GAP_M = 0.03
# A ghost stands a little out of the solid object that it coincides with, so that the two surfaces do not flicker.
_GHOST_GROWTH = 1.012
# Size of a camera in table radii. That of the truth is a little larger, so that both are seen where they coincide.
_FRUSTUM_SIZE: dict[Layer, float] = {"truth": 0.36, "inference": 0.31}
_FRUSTUM_LINE = 0.006
_ASIDE_RAD = math.radians(-138.0)
_LAMP_DISTANCE_M = 2.0


def overview(scene: Scene) -> Orbit:
    """Choose a view from outside in which the scene's camera stands behind the table and aside, and hides nothing."""
    radius_m, backward = scene.table.radius_m, scene.camera.sized(1, 1).frame[:2, 2]
    return Orbit(
        azimuth_rad=math.atan2(backward[1], backward[0]) + _ASIDE_RAD,
        elevation_rad=0.6,
        distance_m=5.8 * radius_m,
        look_at_m=(0.0, 0.0, 0.6 * radius_m),
    )


class Stage:
    """Draws scenes into one client's 3D view. Meshes that were sent once are moved, not sent again."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._nodes: dict[Key, Any] = {}
        self._labels: list[Any] = []
        self._frustums: dict[Layer, Any] = {}
        self._table: tuple[str, Any] | None = None
        scene = client.scene
        self._ambient = scene.add_light_hemisphere(
            "/light/ambient", sky_color=(255, 255, 255), ground_color=(120, 110, 100)
        )
        self._lamp = scene.add_light_directional("/light/lamp", cast_shadow=True)

    def show(self, truth: Scene | None, inferred: Scene | None, labels: Sequence[str]) -> None:
        """Show scenes in place of those before: the truth as ghosts, the inference solid under its labels.

        Without an inference the truth is solid.
        """
        solid = truth if inferred is None else inferred
        ghost = None if inferred is None else truth
        wanted = _placed("inference", solid) | _placed("truth", ghost)
        for key, item in wanted.items():
            node = self._nodes.get(key) or self._nodes.setdefault(key, self._add(key))
            growth = _GHOST_GROWTH if key[0] == "truth" else 1.0
            node.position, node.wxyz = _placing(item.frame())
            node.scale, node.visible = item.scale * growth, True
        for key in [key for key in self._nodes if key not in wanted]:
            if key[2] is None or key[2] == get_kind(key[1]).colour:
                self._nodes[key].visible = False
            else:  # a colour of its own will hardly come again
                self._nodes.pop(key).remove()
        for label in self._labels:
            label.remove()
        self._labels = [
            self._client.scene.add_label(
                f"/labels/{i}",
                text,
                position=(*item.frame()[:2, 3], get_kind(item.kind).height_m * item.scale + _LABEL_GAP_M),
                anchor="bottom-center",
            )
            for i, (text, item) in enumerate(zip(labels, () if inferred is None else inferred.objects, strict=False))
        ]
        if solid is not None:
            self._set_table(solid.table)
            lamp = solid.light
            self._lamp.position = tuple(-_LAMP_DISTANCE_M * light_directions(SceneBatch.from_scenes(solid))[0])
            self._lamp.intensity, self._ambient.intensity = 4.0 * lamp.diffuse, 3.0 * lamp.ambient

    def show_cameras(self, table: Table, cameras: Mapping[Layer, tuple[Camera, NDArray[np.uint8] | None]]) -> None:
        """Show cameras as frustums, each with its picture (S, S, 3) uint8; other cameras disappear.

        Args:
            table: gives the scale that they are drawn to.
        """
        for layer, frustum in self._frustums.items():
            frustum.visible = layer in cameras
        for layer, (camera, picture) in cameras.items():
            if layer not in self._frustums:
                colour = TRUTH_COLOUR if layer == "truth" else INFERENCE_COLOUR
                self._frustums[layer] = self._client.scene.add_camera_frustum(
                    f"/cameras/{layer}",
                    fov=float(camera.fovy_rad),
                    aspect=camera.width / camera.height,
                    format="png",
                    scale=_FRUSTUM_SIZE[layer] * table.radius_m,
                    thickness=_FRUSTUM_LINE,
                    color=_bytes(colour),
                    cast_shadow=False,
                    receive_shadow=False,
                )
            frustum = self._frustums[layer]
            frustum.fov, frustum.image = float(camera.fovy_rad), picture
            frustum.position, frustum.wxyz = eye_pose(camera)

    def look_from(self, camera: Camera) -> None:
        """Move the tab's view to a camera: its square picture fills the view's shorter side."""
        view = self._client.camera
        with self._client.atomic():
            view.up_direction = (0.0, 0.0, 1.0)
            view.fov = 2.0 * math.atan(math.tan(camera.fovy_rad / 2.0) / min(view.aspect, 1.0))
            view.position, view.look_at = tuple(camera.frame[:3, 3]), looked_at(camera)

    def _add(self, key: Key) -> Any:
        layer, kind, colour, number = key
        ghost = colour is None
        data = ghost_glb(kind) if colour is None else object_glb(kind, colour)
        name = "ghost" if colour is None else "-".join(f"{value:.3f}" for value in colour)
        return self._client.scene.add_glb(
            f"/{layer}/{kind}/{name}/{number}", data, cast_shadow=not ghost, receive_shadow=not ghost
        )

    def _set_table(self, table: Table) -> None:
        mesh = table.scenery or table.mesh
        if self._table is None or self._table[0] != mesh:  # a node of the same name takes the other's place
            data = table_glb(mesh) if table.scenery is None else object_glb(mesh, get_kind(mesh).colour)
            self._table = mesh, self._client.scene.add_glb("/table", data, cast_shadow=False)
        own = (*table.top.half_extents_m, TABLE_THICKNESS_M)
        self._table[1].scale = own if table.scenery is None else (1.0, 1.0, 1.0)


def looked_at(camera: Camera) -> tuple[float, ...]:
    """The point of the optical axis next to the world's origin, metres: what a view turns about."""
    eye, forward = camera.frame[:3, 3], -camera.frame[:3, 2]
    return tuple((eye - (eye @ forward) * forward).tolist())


def eye_pose(camera: Camera) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The position in metres, and the orientation (w, x, y, z) in OpenCV's convention: looking along z, y down."""
    return _placing(camera.frame * [1.0, -1.0, -1.0, 1.0])


def _placed(layer: Layer, scene: Scene | None) -> dict[Key, SceneObject]:
    """Sort objects by the mesh that draws them: the n-th of a kind and colour takes the n-th such mesh."""
    placed: dict[Key, SceneObject] = {}
    used: Counter[tuple[str, Rgb | None]] = Counter()
    for item in () if scene is None else scene.objects:
        look = item.kind, None if layer == "truth" else item.rgb
        placed[layer, *look, used[look]] = item
        used[look] += 1
    return placed


def _placing(frame: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Position, and orientation (w, x, y, z), of a frame (4, 4)."""
    turn = Rotation.from_matrix(frame[:3, :3])
    return tuple(frame[:3, 3].tolist()), tuple(turn.as_quat(scalar_first=True).tolist())


def _bytes(colour: Rgb) -> tuple[int, int, int]:
    r, g, b = (round(255 * value) for value in colour)
    return r, g, b
