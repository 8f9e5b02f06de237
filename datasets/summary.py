"""Summarises a dataset in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.image_size import Size
from air3d.datasets.reader import SceneDataset
from air3d.scene3d.own_kinds import is_own
from air3d.scene3d.scene_json import scene_from_dict

CAMERA_FIELDS = ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad", "roll_rad")
INTRINSICS = ("fx", "fy", "cx", "cy")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Summary:
    """The numbers that describe one dataset.

    Attributes:
        folder, preset, seed, image_size, renderer, detail: are taken from the manifest.
        samples, shards, size_bytes: are totals.
        objects: the number of scenes by their count of objects.
        kinds: the number of objects of each kind.
        camera: the least and greatest value of every camera parameter.
        intrinsics_px: the least and greatest value of fx, fy, cx and cy.
        scale: the least and greatest scale of an object; None without objects.
        visible_fraction: quantiles over all objects, by their level; empty without objects.
        object_pixels: quantiles of the number of visible pixels, in the same form.
        redrawn: the number of scenes that were redrawn at least once.
        made_with: the versions and renderers that made it.
        picture_strengths: the strengths of backdrop and sensor, by name, where they are not 0.
        world: the world that its scenes are of, NAME@DIGEST; None without one.
    """

    folder: str
    preset: str
    seed: int
    image_size: Size
    renderer: str
    detail: str
    samples: int
    shards: int
    size_bytes: int
    objects: dict[str, int]
    kinds: dict[str, int]
    camera: dict[str, tuple[float, float]]
    intrinsics_px: dict[str, tuple[float, float]]
    scale: tuple[float, float] | None
    visible_fraction: dict[str, float]
    object_pixels: dict[str, float]
    redrawn: int
    made_with: tuple[dict[str, str], ...]
    picture_strengths: dict[str, float]
    world: str | None

    @property
    def speckled(self) -> str | None:
        """Return a warning if the pictures were drawn before sheets were drawn rightly; None if they are right."""
        old = any(int(made.get("pictures", "1")) < 2 for made in self.made_with)
        wrong = self.renderer == "warp" or (self.renderer != "raster" and self.detail == "inference")
        if not (old and wrong and any(map(is_own, self.kinds))):
            return None
        return "drawn by an air3d that speckled open surfaces of own kinds; if yours has any, generate it anew"


def summarise(dataset: SceneDataset) -> Summary:
    """Read every `scene.json` and count.

    Raises:
        InputError: if a sample is damaged.
    """
    counts: Counter[int] = Counter()
    kinds: Counter[str] = Counter(dict.fromkeys(dataset.config.prior.kinds, 0))
    cameras: list[list[float]] = []
    scales: list[float] = []
    fractions: list[float] = []
    pixels: list[float] = []
    redrawn = 0
    for index in range(len(dataset)):
        document = dataset.document(index)
        scene = scene_from_dict(document["scene"])
        counts[len(scene.objects)] += 1
        kinds.update(item.kind for item in scene.objects)
        (fx, _, cx), (_, fy, cy), _ = document["camera"]["intrinsics"]
        cameras.append([*(getattr(scene.camera, name) for name in CAMERA_FIELDS), fx, fy, cx, cy])
        scales.extend(item.scale for item in scene.objects)
        fractions.extend(item["visible_fraction"] for item in document["objects"])
        pixels.extend(item["visible_pixels"] for item in document["objects"])
        redrawn += document["redraws"] > 0
    ends = zip(np.min(cameras, axis=0).tolist(), np.max(cameras, axis=0).tolist(), strict=True)
    spans = dict(zip((*CAMERA_FIELDS, *INTRINSICS), ends, strict=True))
    config, manifest = dataset.config, dataset.manifest
    return Summary(
        folder=str(Path(dataset.folder)),
        preset=config.preset,
        seed=config.seed,
        image_size=config.size,
        renderer=config.renderer,
        detail=config.detail,
        samples=len(dataset),
        shards=config.shards,
        size_bytes=sum(entry.size_bytes for entry in manifest.shards),
        objects={str(n): counts[n] for n in range(config.prior.max_objects + 1)},
        kinds=dict(kinds),
        camera={name: spans[name] for name in CAMERA_FIELDS},
        intrinsics_px={name: spans[name] for name in INTRINSICS},
        scale=(min(scales), max(scales)) if scales else None,
        visible_fraction=_quantiles(np.array(fractions)),
        object_pixels=_quantiles(np.array(pixels)),
        redrawn=redrawn,
        made_with=manifest.made_with,
        picture_strengths=config.picture_strengths,
        world=config.prior.world,
    )


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    if not values.size:
        return {}
    return {f"{q:.0%}": float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
