"""Annotations: pose, visibility and boxes of every object in an image, and the camera's matrices.

The annotations of a sample, beside the scene itself:

| key | content |
| --- | --- |
| `index`, `redraws` | number of the scene; draws refused before it because an object was hidden |
| `camera.height`, `.width` | pixels |
| `camera.intrinsics` | 3x3, OpenCV: the centre of the top-left pixel is (0, 0) |
| `camera.world_to_camera_opencv`, `_opengl` | 4x4, metres: x right, y down, z forward; x right, y up, z backward |
| `objects[n]` | in the scene's order; its number in the segmentation is n + 1 (`segmentation_id`) |
| `.kind`, `.scale`, `.position_m`, `.rotation_wxyz` | as in the scene |
| `.family`, `.drawn` | of a variant alone: its family, the numbers of its `shape`, and its `glaze` |
| `.yaw_rad` | of an upright object; null for a tilted one |
| `.object_to_world`, `.object_to_camera` | 4x4 rigid (no scale), metres; camera in the OpenCV convention |
| `.visible_pixels`, `.amodal_pixels` | pixels seen in the image, and seen when the object is drawn alone on the table |
| `.visible_fraction` | their ratio; 0 for an object without pixels |
| `.visible_box`, `.amodal_box` | [x0, y0, x1, y1] around those pixels, x0 <= column < x1, y0 <= row < y1; or null |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.arguments import check_number, check_vector, natural
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.poses import UPRIGHT
from air3d.scene3d.scene import Scene, SceneObject

Box = tuple[int, int, int, int]


def mask_boxes(masks: NDArray[np.bool_]) -> list[Box | None]:
    """Tight boxes [x0, y0, x1, y1] of masks, in pixels: x0 <= column < x1, y0 <= row < y1; None for an empty mask.

    Args:
        masks: (M, H, W).
    """
    columns, rows = np.asarray(masks.any(axis=1)), np.asarray(masks.any(axis=2))
    x0, y0 = columns.argmax(axis=1), rows.argmax(axis=1)
    x1, y1 = masks.shape[2] - columns[:, ::-1].argmax(axis=1), masks.shape[1] - rows[:, ::-1].argmax(axis=1)
    corners = np.stack([x0, y0, x1, y1], axis=1).tolist()
    return [(a, b, c, d) if some.any() else None for (a, b, c, d), some in zip(corners, columns, strict=True)]


def visible_fractions(visible: NDArray[np.int64], alone: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each object's pixels that nothing hides, (M,); 0 for an object without pixels.

    Args:
        visible: (M,) pixels seen in the full scene.
        alone: (M,) pixels seen when the object is drawn alone on the table.
    """
    return visible / np.maximum(alone, 1)


def annotate(
    index: int, scene: Scene, segmentation: NDArray[np.uint8], alone: NDArray[np.bool_], redraws: int
) -> dict[str, Any]:
    """Annotations of one scene, without the scene itself, as plain JSON values (see the module).

    Args:
        index: the number of the scene in its dataset.
        segmentation: (H, W), 0 for background, n + 1 for object n.
        alone: (N, H, W), pixels of every object drawn alone.
        redraws: how often the scene was redrawn before.
    """
    height, width = segmentation.shape
    count = len(scene.objects)
    visible = segmentation[None] == np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    pixels, alone_pixels = visible.sum(axis=(1, 2)), alone.sum(axis=(1, 2))
    fractions = visible_fractions(pixels, alone_pixels).tolist()
    boxes, amodal_boxes = mask_boxes(visible), mask_boxes(alone)
    camera = scene.camera.sized(width, height)
    opencv = camera.eye_pose()
    objects = []
    for n, item in enumerate(scene.objects):
        objects.append(
            _pose(item, opencv)
            | {
                "segmentation_id": n + 1,
                "visible_fraction": fractions[n],
                "visible_pixels": int(pixels[n]),
                "amodal_pixels": int(alone_pixels[n]),
                "visible_box": boxes[n],
                "amodal_box": amodal_boxes[n],
            }
        )
    return {
        "index": index,
        "redraws": redraws,
        "camera": {
            "height": height,
            "width": width,
            "intrinsics": camera.matrix.tolist(),
            "world_to_camera_opencv": opencv.tolist(),
            "world_to_camera_opengl": camera.eye_pose("opengl").tolist(),
        },
        "objects": objects,
    }


def _pose(item: SceneObject, world_to_camera_opencv: NDArray[np.float64]) -> dict[str, Any]:
    pose, kind = item.frame(), get_kind(item.kind)
    variant = {} if kind.family is None else {"family": kind.family, "drawn": kind.drawn}
    return {
        "kind": item.kind,
        "object_to_world": pose.tolist(),
        "object_to_camera": (world_to_camera_opencv @ pose).tolist(),
        "scale": item.scale,
        "position_m": list(item.position_m),
        "rotation_wxyz": list(item.rotation_wxyz),
        "yaw_rad": item.yaw_rad if item.tilt_rad <= UPRIGHT else None,
    } | variant


_MATRICES = {"intrinsics": 3, "world_to_camera_opencv": 4, "world_to_camera_opengl": 4}
_POSES = {"object_to_world": 4, "object_to_camera": 4}
_NUMBERS = ("scale", "visible_fraction")
_VECTORS = {"position_m": 3, "rotation_wxyz": 4}
_COUNTS = ("segmentation_id", "visible_pixels", "amodal_pixels")


def check_annotations(data: dict[str, Any]) -> None:
    """Check the form of annotations that were read from a file.

    Raises:
        InputError: if a key is missing or malformed; the message names the first.
    """
    _check_counts("annotations", data, ("index", "redraws"))
    camera, objects = data.get("camera"), data.get("objects")
    if not isinstance(camera, dict) or not isinstance(objects, list):
        raise InputError("annotations: camera or objects is missing")
    _check_counts("camera", camera, ("height", "width"))
    _check_matrices("camera", camera, _MATRICES)
    for item in objects:
        if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
            raise InputError("annotations: an object has no kind")
        owner = f"object '{item['kind']}'"
        _check_matrices(owner, item, _POSES)
        _check_counts(owner, item, _COUNTS)
        for name in _NUMBERS:
            check_number(owner, name, item.get(name), -1e3, 1e3)
        if item.get("yaw_rad", "") is not None:
            check_number(owner, "yaw_rad", item.get("yaw_rad"), -1e3, 1e3)
        for name, length in _VECTORS.items():  # samples of schema 1 have none
            check_vector(owner, name, natural(item.get(name, [0.0] * length)), -1e3, 1e3, length)
        for name in ("visible_box", "amodal_box"):
            box = item.get(name, ())
            if box is not None and not (isinstance(box, list) and len(box) == 4 and all(type(v) is int for v in box)):
                raise InputError(f"{owner}: {name} is {shown(box)}; it must be null or four whole numbers")


def _check_counts(owner: str, data: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if type(data.get(name)) is not int or data[name] < 0:
            raise InputError(f"{owner}: {name} is {shown(data.get(name))}; it must be a whole number from 0")


def _check_matrices(owner: str, data: dict[str, Any], sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        rows = data.get(name)
        if not (
            isinstance(rows, list)
            and len(rows) == size
            and all(isinstance(row, list) and len(row) == size for row in rows)
            and all(type(value) in (float, int) for row in rows for value in row)
        ):
            raise InputError(f"{owner}: {name} is not a {size}x{size} matrix of numbers")
