"""Writes one sample as the files that a shard holds under one key, and reads them back.

| member | content |
| --- | --- |
| `image.png` | (H, W, 3) uint8 colour |
| `depth.png` | (H, W) uint16 depth along the optical axis in 0.1 mm; 0: nothing seen; 65535: 6.5535 m or more |
| `segmentation.png` | (H, W) uint8; 0 for background and table, n + 1 for object n |
| `scene.json` | the scene (key `scene`; `air3d.scene3d.scene_json`) and its annotations (`air3d.datasets.annotation`) |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import annotate, check_annotations
from air3d.datasets.config import GenerateConfig
from air3d.datasets.generation import GeneratedScene
from air3d.datasets.image_size import ImageSize
from air3d.datasets.png import decode_png, encode_png
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene
from air3d.scene3d.scene_json import (
    MAX_JSON_BYTES,
    SAMPLE_SCHEMA,
    SAMPLE_SCHEMAS,
    parse_json,
    scene_from_dict,
    scene_to_dict,
)

MEMBERS = GenerateConfig.MEMBERS
DEPTH_UNIT_M = 1e-4


class Sample(TypedDict):
    """A sample in memory.

    Keys:
        index: the number of the scene in its dataset.
        image: (H, W, 3) uint8.
        depth_m: (H, W) float32 metres, a multiple of 0.1 mm; +inf where nothing is seen.
        segmentation: (H, W) uint8; 0 for background and table, n + 1 for object n.
        scene: the scene.
        annotations: everything else in `scene.json`: camera matrices, and a dict for each object.
    """

    index: int
    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    segmentation: NDArray[np.uint8]
    scene: Scene
    annotations: dict[str, Any]


def encode_sample(item: GeneratedScene) -> dict[str, bytes]:
    """The members of one sample, by name."""
    annotations = annotate(item.index, item.scene, item.segmentation, item.alone, item.redraws)
    height, width = item.segmentation.shape
    document = {"schema": SAMPLE_SCHEMA, "scene": scene_to_dict(item.scene, (width, height)), **annotations}
    if item.photograph:
        document["photograph"] = dict(item.photograph)
    return {
        "depth.png": encode_png(quantise_depth(item.depth_m)),
        "image.png": encode_png(item.image),
        "scene.json": json.dumps(document, allow_nan=False, separators=(",", ":")).encode(),
        "segmentation.png": encode_png(item.segmentation),
    }


def quantise_depth(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Convert metres to units of 0.1 mm; less than half a unit becomes 1, because 0 means nothing seen."""
    seen = np.isfinite(depth_m)
    units = np.rint(np.where(seen, depth_m, 0.0) / DEPTH_UNIT_M)
    return np.where(seen, np.clip(units, 1, 65535), 0).astype(np.uint16)


def decode_sample(members: Mapping[str, bytes], size: ImageSize) -> Sample:
    """The inverse of `encode_sample`.

    Args:
        size: the size that the images must have.

    Raises:
        InputError: for a missing, damaged or foreign member.
    """
    missing = set(MEMBERS) - members.keys()
    if missing:
        raise InputError(f"member '{min(missing)}' is missing")
    document = decode_document(members["scene.json"])
    shape = size.height, size.width
    units = decode_png(members["depth.png"], "I;16", *shape)
    depth = np.where(units > 0, units * DEPTH_UNIT_M, np.inf).astype(np.float32)
    annotations = {key: value for key, value in document.items() if key not in ("schema", "scene", "index")}
    return Sample(
        index=document["index"],
        image=decode_png(members["image.png"], "RGB", *shape),  # type: ignore[typeddict-item]
        depth_m=depth,
        segmentation=decode_png(members["segmentation.png"], "L", *shape),  # type: ignore[typeddict-item]
        scene=scene_from_dict(document["scene"]),
        annotations=annotations,
    )


def decode_document(data: bytes) -> dict[str, Any]:
    """Parse a `scene.json`; the scene in it is left as a dict.

    Raises:
        InputError: if it is not one.
    """
    if len(data) > MAX_JSON_BYTES:
        raise InputError(f"scene.json: {len(data)} bytes is too large")
    try:
        document = parse_json(data.decode(), "scene.json")
    except UnicodeDecodeError:
        raise InputError("scene.json: not a text file") from None
    if not isinstance(document, dict) or document.get("schema") not in SAMPLE_SCHEMAS:
        raise InputError(f"scene.json: not a sample of schema '{SAMPLE_SCHEMA}'")
    check_annotations(document)
    return document
