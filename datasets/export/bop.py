"""Writes a dataset in the format of BOP (Benchmark for 6D Object Pose Estimation), as bop_toolkit reads it.

Format: github.com/thodan/bop_toolkit, docs/bop_datasets_format.md, and what its scripts compute: calc_gt_info.py and
calc_gt_masks.py (visibility), calc_gt_coco.py, calc_model_info.py, create_test_targets.py. Shard k of the dataset
becomes scene k, and its samples the images 0, 1, ... of it. See docs/exports.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import Box, mask_boxes
from air3d.datasets.config import GenerateConfig
from air3d.datasets.export.bop_coco import VISIBLE, BopCoco
from air3d.datasets.export.bop_models import MM, BopObject, bop_objects, bop_pose, model_info, model_ply
from air3d.datasets.export.folder import ExportFolder, Outcome, check_split
from air3d.datasets.export.silhouettes import MakeRenderer, Silhouette, Silhouettes
from air3d.datasets.files import atomic_file, read_json, reported, write_json
from air3d.datasets.generation import batch_size
from air3d.datasets.png import encode_png
from air3d.datasets.reader import SceneDataset
from air3d.datasets.samples import DEPTH_UNIT_M, Sample
from air3d.scene3d.assets import asset_path
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError

SCHEMA = "air3d-bop/2"
DEPTH_SCALE = round(MM * DEPTH_UNIT_M, 9)
_EVAL_DETAIL = "inference"
_MAX_BYTES = 1 << 30
_NOWHERE = [-1, -1, -1, -1]

# Where (0, 0) is in the top-left pixel: its centre, as in OpenCV and all of air3d, or its corner.
PixelOrigin = Literal["centre", "corner"]


class BopExport(Closing):
    """One run of an export; a context manager."""

    def __init__(
        self,
        dataset: SceneDataset,
        root: Path,
        split: str,
        backend: str,
        make: MakeRenderer,
        pixel_origin: PixelOrigin = "centre",
    ) -> None:
        """Claim the folder and find what is there.

        Args:
            split: the name of the split: "train", "val" or "test", also with an ending.
            backend: the name of the renderer that `make` makes; the export is tied to it.
            pixel_origin: the point that the camera matrices count pixels from.

        Raises:
            InputError: for a dataset that BOP cannot express, or a folder that cannot be used.
        """
        check_split(split)
        config = dataset.config
        if split.endswith("_pbr"):
            raise InputError(f"--split '{split}': bop_toolkit takes images of such splits for JPEG; use another ending")
        self._dataset, self._make, self._objects = dataset, make, bop_objects(config.prior.kinds)
        objects = {
            str(item.number): {"kind": name, "centre_mm": (MM * item.centre_m).tolist()}
            for name, item in self._objects.items()
        }
        info = {"schema": SCHEMA, "detail": config.detail, "pixel_origin": pixel_origin, "objects": objects}
        largest = config.prior.largest_scale
        own = {"renderer": backend, "scales": [round(2.0 - largest, 9), largest]}
        self._shift_px = 0.5 if pixel_origin == "corner" else 0.0
        self.folder = ExportFolder(root, split, dataset, info, own)

    def run(self, progress: Callable[[int], None]) -> Outcome:
        """Make what is missing.

        Args:
            progress: is called with the number of images finished since its last call.

        Raises:
            InputError: if the dataset is damaged, the disk is full, or the renderer cannot work here.
        """
        config, made = self._dataset.config, 0
        with reported(self.folder.root):
            self._write_models("models", config.detail)
            self._write_models("models_eval", _EVAL_DETAIL)
            if self.folder.todo:
                with Silhouettes(config.render_config, self._make) as silhouettes:
                    for shard in self.folder.todo:
                        self._write_scene(shard, silhouettes, progress)
                        made += len(config.shard_indices(shard))
            if self.folder.split == "test":
                self._write_targets()
            write_json(self.folder.root / "camera.json", _nominal_camera(config, self._shift_px))
        return Outcome(made, self.folder.kept)

    def _write_models(self, name: str, detail: str) -> None:
        folder = self.folder.root / name
        folder.mkdir(exist_ok=True)
        for item in self._objects.values():
            _write(folder / item.file, model_ply(item, detail))
            if item.kind.texture is not None:
                _write(folder / item.kind.texture, asset_path("textures", item.kind.texture).read_bytes())
        infos = {str(item.number): model_info(item, detail) for item in self._objects.values()}
        _write(folder / "models_info.json", b"".join(_lines(infos)))

    def _write_scene(self, shard: int, silhouettes: Silhouettes, progress: Callable[[int], None]) -> None:
        config = self._dataset.config
        indices, step = config.shard_indices(shard), batch_size(config.image_size.pixels)
        tables: dict[str, dict[str, Any]] = {"scene_camera": {}, "scene_gt": {}, "scene_gt_info": {}}
        coco = BopCoco(config, SCHEMA)
        with self.folder.staged(shard) as staging:
            for name in ("rgb", "depth", "mask", "mask_visib"):
                (staging / name).mkdir()
            for start in range(0, len(indices), step):
                samples = []
                for index in indices[start : start + step]:
                    members = self._dataset.members(index)
                    samples.append(self._dataset.decode(index, members))
                    image = index - indices.start
                    (staging / "rgb" / f"{image:06d}.png").write_bytes(members["image.png"])
                    (staging / "depth" / f"{image:06d}.png").write_bytes(members["depth.png"])
                batch = SceneBatch.from_scenes([s["scene"] for s in samples], config.prior.kinds, config.slots)
                drawn = silhouettes.draw(batch, np.stack([s["segmentation"] for s in samples]))
                for sample, outlines in zip(samples, drawn, strict=True):
                    image = sample["index"] - indices.start
                    _write_masks(staging, image, sample, outlines)
                    for name, row in _describe(sample, outlines, self._objects, self._shift_px).items():
                        tables[name][str(image)] = row
                    coco.add(image, sample, outlines)
                progress(len(samples))
            for name, table in tables.items():
                (staging / f"{name}.json").write_bytes(b"".join(_lines(table)))
            (staging / "scene_gt_coco.json").write_bytes(json.dumps(coco.document).encode() + b"\n")

    def _write_targets(self) -> None:
        """Write the targets of the challenges: for 2019, instances of each object in each image; for 2024, images."""
        for name, rows in (("bop19", self._localisation()), ("bop24", self._detection())):
            with atomic_file(self.folder.root / f"test_targets_{name}.json") as file:
                file.writelines(_lines(rows))

    def _localisation(self) -> Iterator[dict[str, int]]:
        for shard in range(self._dataset.config.shards):
            truth = read_json(self.folder.part(shard) / "scene_gt.json", _MAX_BYTES)
            infos = read_json(self.folder.part(shard) / "scene_gt_info.json", _MAX_BYTES)
            for image, objects in truth.items():
                counts: dict[int, int] = {}
                for item, info in zip(objects, infos[image], strict=True):
                    if info["visib_fract"] >= VISIBLE:
                        counts[item["obj_id"]] = counts.get(item["obj_id"], 0) + 1
                for number in sorted(counts):
                    yield {
                        "im_id": int(image),
                        "inst_count": counts[number],
                        "obj_id": number,
                        "scene_id": shard,
                    }

    def _detection(self) -> Iterator[dict[str, int]]:
        config = self._dataset.config
        for shard in range(config.shards):
            for image in range(len(config.shard_indices(shard))):
                yield {"im_id": image, "scene_id": shard}

    def close(self) -> None:
        """Give the folder back."""
        self.folder.close()


def _write_masks(staging: Path, image: int, sample: Sample, outlines: list[Silhouette]) -> None:
    for n, outline in enumerate(outlines):
        visible = sample["segmentation"] == n + 1
        for name, mask in (("mask", outline.mask), ("mask_visib", visible)):
            (staging / name / f"{image:06d}_{n:06d}.png").write_bytes(encode_png(mask.astype(np.uint8) * 255))


def _describe(
    sample: Sample, outlines: list[Silhouette], objects: Mapping[str, BopObject], shift_px: float
) -> dict[str, Any]:
    """Make the rows of scene_camera.json, scene_gt.json and scene_gt_info.json."""
    camera, truth, infos = sample["annotations"]["camera"], [], []
    view = np.array(camera["world_to_camera_opencv"])
    for n, (known, outline) in enumerate(zip(sample["annotations"]["objects"], outlines, strict=True)):
        item = objects[known["kind"]]
        rotation, shift = bop_pose(item, np.array(known["object_to_camera"]))
        scale = {} if known["scale"] == 1.0 else {"scale": known["scale"]}
        truth.append({"cam_R_m2c": rotation, "cam_t_m2c": shift, "obj_id": item.number, **scale})
        visible = sample["segmentation"] == n + 1
        seen = int(visible.sum())
        infos.append(
            {
                "bbox_obj": _bop_box(outline.box) if seen else _NOWHERE,
                "bbox_visib": _bop_box(mask_boxes(visible[None])[0]) if seen else _NOWHERE,
                "px_count_all": outline.pixels,
                "px_count_valid": int((outline.mask & np.isfinite(sample["depth_m"])).sum()),
                "px_count_visib": seen,
                "visib_fract": seen / max(outline.pixels, 1),
            }
        )
    own = {
        "cam_K": np.ravel(_shifted(np.array(camera["intrinsics"]), shift_px)).tolist(),
        "cam_R_w2c": view[:3, :3].ravel().tolist(),
        "cam_t_w2c": (MM * view[:3, 3]).tolist(),
        "depth_scale": DEPTH_SCALE,
    }
    return {"scene_camera": own, "scene_gt": truth, "scene_gt_info": infos}


def _bop_box(box: Box | None) -> list[int]:
    """bop_toolkit's (x, y, width, height), in which the width is the last column minus the first."""
    return _NOWHERE if box is None else [box[0], box[1], box[2] - box[0] - 1, box[3] - box[1] - 1]


def _shifted(matrix: NDArray[np.float64], shift_px: float) -> NDArray[np.float64]:
    """Shift a camera matrix (3, 3): its pixels count from an origin that lies this much further to the left and up."""
    return matrix + np.array([[0.0, 0.0, shift_px], [0.0, 0.0, shift_px], [0.0, 0.0, 0.0]])


def _nominal_camera(config: GenerateConfig, shift_px: float) -> dict[str, float]:
    """The camera in the middle of the prior's range; scene_camera.json has the camera of each image."""
    matrix = _shifted(config.prior.camera.middle().sized(*config.image_size).matrix, shift_px)
    return {
        "cx": float(matrix[0, 2]),
        "cy": float(matrix[1, 2]),
        "depth_scale": DEPTH_SCALE,
        "fx": float(matrix[0, 0]),
        "fy": float(matrix[1, 1]),
        "height": config.image_size.height,
        "width": config.image_size.width,
    }


def _lines(data: Mapping[str, Any] | Iterable[Any]) -> Iterator[bytes]:
    """Format JSON with one entry of the outermost object or list in each line, as bop_toolkit lays it out."""
    rows = (
        (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in data.items())
        if isinstance(data, Mapping)
        else (json.dumps(value, allow_nan=False) for value in data)
    )
    brackets = (b"{", b"}") if isinstance(data, Mapping) else (b"[", b"]")
    before = brackets[0] + b"\n  "
    for row in rows:
        yield before + row.encode()
        before = b",\n  "
    yield (brackets[0] if before.startswith(brackets[0]) else b"") + b"\n" + brackets[1] + b"\n"


def _write(path: Path, data: bytes) -> None:
    with atomic_file(path) as file:
        file.write(data)
