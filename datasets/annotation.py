"""What is known about every object in an image: pose, visibility, boxes; and the camera's matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene3d.cameras import intrinsics, object_to_world, world_to_camera
from scene3d.scene import Scene, SceneObject

Box = tuple[int, int, int, int]


def mask_boxes(masks: NDArray[np.bool_]) -> list[Box | None]:
    """Tight boxes [x0, y0, x1, y1] of masks, in pixels: x0 <= column < x1, y0 <= row < y1; None for an empty mask.

    Args:
        masks: (M, H, W).
    """
    columns, rows = masks.any(axis=1), masks.any(axis=2)
    x0, y0 = columns.argmax(axis=1), rows.argmax(axis=1)
    x1, y1 = masks.shape[2] - columns[:, ::-1].argmax(axis=1), masks.shape[1] - rows[:, ::-1].argmax(axis=1)
    seen = columns.any(axis=1)
    corners = np.stack([x0, y0, x1, y1], axis=1).tolist()
    return [(a, b, c, d) if some else None for (a, b, c, d), some in zip(corners, seen.tolist(), strict=True)]


def visible_fractions(visible: NDArray[np.int64], alone: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of an object's pixels that nothing hides; 0 for an object without pixels.

    Args:
        visible: (M,) pixels seen in the full scene.
        alone: (M,) pixels seen when the object is drawn alone on the table.
    """
    return visible / np.maximum(alone, 1)


def annotate(
    index: int, scene: Scene, segmentation: NDArray[np.uint8], alone: NDArray[np.bool_], redraws: int
) -> dict[str, Any]:
    """Annotations of one scene, without the scene itself, as plain JSON values; docs/datasets.md names every field.

    Args:
        index: number of the scene in its dataset.
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
    opencv = world_to_camera(scene.camera, "opencv")
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
            "intrinsics": intrinsics(scene.camera, height, width).tolist(),
            "world_to_camera_opencv": opencv.tolist(),
            "world_to_camera_opengl": world_to_camera(scene.camera, "opengl").tolist(),
        },
        "objects": objects,
    }


def _pose(item: SceneObject, world_to_camera_opencv: NDArray[np.float64]) -> dict[str, Any]:
    pose = object_to_world(item.x_m, item.y_m, item.yaw_rad)
    return {
        "kind": item.kind,
        "object_to_world": pose.tolist(),
        "object_to_camera": (world_to_camera_opencv @ pose).tolist(),
        "scale": item.scale,
        "yaw_rad": item.yaw_rad,
    }
