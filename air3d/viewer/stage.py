"""The table in 3D for one tab: objects, ghosts, labels and cameras."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from air3d.datasets.export.glb import Look, object_look, table_look, table_size_m
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.catalog import Rgb
from air3d.scene3d.compiler import light_directions
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.meshes.load import load_mesh
from air3d.scene3d.orbit import NEAREST_M, Orbit
from air3d.scene3d.scene import MAX_LAMPS, Cloth, Light, Scene, SceneObject, Table
from air3d.viewer.meshes import GHOST, INFERENCE_COLOUR, TRUTH_COLOUR, glb

if TYPE_CHECKING:
    import viser

Layer = Literal["truth", "inference"]
Key = tuple[Layer, str, Look, int]

_LABEL_GAP_M = 0.03
# A ghost stands a little out of the solid object that it coincides with, so that the two surfaces do not flicker.
_GHOST_GROWTH = 1.012
# Size of a camera in table radii. That of the truth is a little larger, so that both are seen where they coincide.
_FRUSTUM_SIZE: dict[Layer, float] = {"truth": 0.36, "inference": 0.31}
_FRUSTUM_LINE = 0.006
_ASIDE_RAD, _BESIDE_RAD = math.radians(-138.0), math.radians(-40.0)
# How often an overview steps back to have a high or far camera in view.
_STEPS_BACK = 30
_LAMP_DISTANCE_M = 2.0
# Viser's intensity of a lamp, and of the even light, of brightness 1.
_LAMP_LEVEL, _AMBIENT_LEVEL = 4.0, 3.0


def overview(scene: Scene) -> Orbit:
    """Choose a view from outside in which the scene's camera stands behind the table and aside, and hides nothing.

    What stands around in a world may hide everything from there; it is looked at over the shoulder of its camera.
    """
    radius_m, frame = scene.table.radius_m, scene.camera.sized(1, 1).frame
    aside = _ASIDE_RAD if scene.table.scenery is None else _BESIDE_RAD
    view = Orbit(
        azimuth_rad=math.atan2(frame[1, 2], frame[0, 2]) + aside,
        elevation_rad=0.6,
        distance_m=5.8 * radius_m,
        look_at_m=(0.0, 0.0, 0.6 * radius_m),
    )
    for _ in range(_STEPS_BACK):
        pixels, depth = view.sized(1, 1).project(frame[None, :3, 3])
        if depth[0] > 0.0 and abs(pixels).max() < 0.45:  # the picture reaches from -0.5 to 0.5
            break
        up_m = view.look_at_m[2] + 0.05 * radius_m
        view = replace(view, distance_m=1.08 * view.distance_m, look_at_m=(0.0, 0.0, up_m))
    return view


class Stage:
    """Draws scenes into one client's 3D view. Meshes that were sent once are moved, not sent again."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._nodes: dict[Key, Any] = {}
        self._added = 0
        self._labels: list[Any] = []
        self._frustums: dict[Layer, Any] = {}
        self._table: tuple[tuple[str, Look], Any] | None = None
        scene = client.scene
        self._ambient = scene.add_light_hemisphere(
            "/light/ambient", sky_color=(255, 255, 255), ground_color=(120, 110, 100)
        )
        self._lamps = [scene.add_light_directional("/light/lamp", cast_shadow=True)]
        self._lamps += [
            scene.add_light_directional(f"/light/lamp{i + 1}", cast_shadow=False, visible=False)
            for i in range(MAX_LAMPS)
        ]

    def show(self, truth: Scene | None, inferred: Scene | None, labels: Sequence[str]) -> None:
        """Show scenes in place of those before: the truth as ghosts, the inference solid under its labels.

        Without an inference the truth is solid, and has the labels.
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
            if key[2] == GHOST or key[2] == _own_look(key[1]):
                self._nodes[key].visible = False
            else:  # a look of its own will hardly come again
                self._nodes.pop(key).remove()
        for label in self._labels:
            label.remove()
        self._labels = [
            self._client.scene.add_label(
                f"/labels/{i}",
                text,
                position=label_place_m(item),
                anchor="bottom-center",
            )
            for i, (text, item) in enumerate(zip(labels, () if solid is None else solid.objects, strict=False))
        ]
        if solid is not None:
            self._set_table(solid.table, solid.cloth)
            self._set_lights(solid.light)

    def show_cameras(self, size_m: float, cameras: Mapping[Layer, tuple[Camera, NDArray[np.uint8] | None]]) -> None:
        """Show cameras as frustums, each with its picture (H, W, 3) uint8; other cameras disappear.

        Args:
            size_m: the radius of the table, or of what stands in its place, which sets their size.
        """
        for layer, frustum in self._frustums.items():
            frustum.visible = layer in cameras
        for layer, (camera, picture) in cameras.items():
            fov, aspect = field_of(camera)
            if layer not in self._frustums:
                self._frustums[layer] = self._client.scene.add_camera_frustum(
                    f"/cameras/{layer}",
                    fov=fov,
                    aspect=aspect,
                    format="png",
                    thickness=_FRUSTUM_LINE,
                    color=_bytes(TRUTH_COLOUR if layer == "truth" else INFERENCE_COLOUR),
                    cast_shadow=False,
                    receive_shadow=False,
                )
            frustum = self._frustums[layer]
            frustum.fov, frustum.aspect, frustum.image = fov, aspect, picture
            frustum.scale = _FRUSTUM_SIZE[layer] * size_m
            frustum.position, frustum.wxyz = eye_pose(camera)

    def look_from(self, camera: Camera) -> None:
        """Move the tab's view to a camera: all of its picture is in it, in the middle."""
        view = self._client.camera
        frame, (fov, aspect) = middled(camera), field_of(camera)
        # Turned by hand, a view turns about its up direction, so that is the world's wherever it can be.
        level = abs(frame[2, 0]) < 1e-6 and frame[2, 1] > 0.01
        with self._client.atomic():
            view.up_direction = (0.0, 0.0, 1.0) if level else tuple(frame[:3, 1])
            view.fov = 2.0 * math.atan(math.tan(fov / 2.0) * max(aspect / view.aspect, 1.0))
            view.position, view.look_at = tuple(frame[:3, 3]), looked_at(frame)

    def _add(self, key: Key) -> Any:
        layer, mesh, look, _ = key
        ghost, self._added = look == GHOST, self._added + 1
        return self._client.scene.add_glb(
            f"/{layer}/{mesh}/{self._added}", glb(mesh, look), cast_shadow=not ghost, receive_shadow=not ghost
        )

    def _set_table(self, table: Table, cloth: Cloth | None) -> None:
        key = table.scenery or table.mesh, table_look(table, cloth)
        if self._table is None or self._table[0] != key:  # a node of the same name takes the other's place
            self._table = key, self._client.scene.add_glb("/table", glb(*key), cast_shadow=table.scenery is not None)
        self._table[1].scale = table_size_m(table)

    def _set_lights(self, light: Light) -> None:
        one = SceneBatch.from_scenes(Scene(light=light))
        ways = [light_directions(one)[0], *lamp_directions(one)[0, : len(light.lamps)]]
        for i, lamp in enumerate(self._lamps):
            lamp.visible = i < len(ways)
            if lamp.visible:
                lamp.position = tuple(-_LAMP_DISTANCE_M * ways[i])
                lamp.intensity = _LAMP_LEVEL * (light.diffuse if i == 0 else light.lamps[i - 1].diffuse)
        self._ambient.intensity = _AMBIENT_LEVEL * light.ambient


def label_place_m(item: SceneObject) -> tuple[float, float, float]:
    """The place of an object's label in the world, metres: above its middle and its highest point, however it lies."""
    frame = item.frame()
    points = item.scale * load_mesh(item.kind, "display").positions_m @ frame[:3, :3].T + frame[:3, 3]
    low, high = points.min(axis=0), points.max(axis=0)
    x, y, _ = ((low + high) / 2.0).tolist()
    return x, y, float(high[2]) + _LABEL_GAP_M


def middled(camera: Camera) -> NDArray[np.float64]:
    """A camera's frame (4, 4), turned so that it looks through the middle of its picture.

    Viser's cameras look through the middle. One whose optical axis is off it is approximated by one turned so: by a
    shift of a tenth of the height, and 40 degrees of view, the corners are off by up to 4 % of the height.
    """
    (fx, fy), (left, top) = camera.focal_px, camera.principal_px
    x, y = float((camera.width / 2.0 - left) / fx), float((top - camera.height / 2.0) / fy)
    frame = camera.frame.copy()
    if away := math.hypot(x, y):
        turn = Rotation.from_rotvec(math.atan(away) / away * np.array([y, -x, 0.0]))
        frame[:3, :3] = frame[:3, :3] @ turn.as_matrix()
    return np.asarray(frame)


def field_of(camera: Camera) -> tuple[float, float]:
    """The vertical field of view in radians, and width over height, of a camera's picture seen as `middled` does."""
    (fx, fy), (left, top) = camera.focal_px, camera.principal_px
    away = math.hypot((camera.width / 2.0 - left) / fx, (top - camera.height / 2.0) / fy, 1.0)
    return 2.0 * math.atan(camera.height / 2.0 / float(fy) / away), float(camera.width / fx * fy / camera.height)


def looked_at(frame: NDArray[np.float64]) -> tuple[float, ...]:
    """The point ahead on the optical axis (-z of a frame) next to the world's origin, metres: a view turns about it."""
    eye, backward = frame[:3, 3], frame[:3, 2]
    return tuple((eye - max(float(eye @ backward), NEAREST_M) * backward).tolist())


def eye_pose(camera: Camera) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The position in metres, and the orientation (w, x, y, z) in OpenCV's convention: looking along z, y down."""
    return _placing(middled(camera) * [1.0, -1.0, -1.0, 1.0])


def _placed(layer: Layer, scene: Scene | None) -> dict[Key, SceneObject]:
    """Sort objects by what draws them: the n-th of a mesh and a look takes the n-th such node."""
    placed: dict[Key, SceneObject] = {}
    used: Counter[tuple[str, Look]] = Counter()
    for item in () if scene is None else scene.objects:
        mesh = item.kind, GHOST if layer == "truth" else object_look(item)
        placed[layer, *mesh, used[mesh]] = item
        used[mesh] += 1
    return placed


def _own_look(kind: str) -> Look:
    return object_look(SceneObject(kind, (0.0, 0.0, 0.0)))


def _placing(frame: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Position, and orientation (w, x, y, z), of a frame (4, 4)."""
    turn = Rotation.from_matrix(frame[:3, :3])
    return tuple(frame[:3, 3].tolist()), tuple(turn.as_quat(scalar_first=True).tolist())


def _bytes(colour: Rgb) -> tuple[int, int, int]:
    r, g, b = (round(255 * value) for value in colour)
    return r, g, b
