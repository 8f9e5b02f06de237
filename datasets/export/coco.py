"""A dataset as COCO instances: images, and one JSON file with boxes and masks of what is visible.

Format: cocodataset.org/#format-data. Categories are the kinds, numbered from 1 in the order of the dataset's prior;
an image's ID is its sample's index. Segmentations are run-length encoded, since polygons cannot hold a mug's handle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from datasets.annotation import mask_boxes
from datasets.export.folder import ExportFolder, Outcome
from datasets.export.rle import rle
from datasets.files import atomic_file, remove_stale, reported
from datasets.reader import SceneDataset
from datasets.samples import Sample

SCHEMA = "air3d-coco/1"


class CocoExport:
    """One run of an export; a context manager."""

    def __init__(self, dataset: SceneDataset, root: Path, split: str) -> None:
        """Claim the folder and see what is there.

        Args:
            split: "train", "val" or "test", also with an ending.

        Raises:
            InputError: for a folder that cannot be used.
        """
        self._dataset = dataset
        self._numbers = {name: number for number, name in enumerate(dataset.config.prior.kinds, 1)}
        info = {"schema": SCHEMA, "categories": list(self._numbers)}
        self.folder = ExportFolder(root, split, dataset, info, {})

    def run(self, progress: Callable[[int], None]) -> Outcome:
        """Copy the images that are missing, and write the annotations of all.

        Args:
            progress: called with the number of images annotated since its last call; those found are annotated again.

        Raises:
            InputError: if the dataset is damaged or the disk is full.
        """
        with reported(self.folder.root):
            folder = self.folder.root / "annotations"
            folder.mkdir(exist_ok=True)
            path = folder / f"instances_{self.folder.split}.json"
            remove_stale(folder, (path.name,))
            with atomic_file(path) as file:
                file.writelines(self._document(progress))
        return Outcome(len(self._dataset) - self.folder.kept, self.folder.kept)

    def _document(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        """The JSON, one image or annotation in a line: it may be larger than memory."""
        categories = [{"id": n, "name": name, "supercategory": "object"} for name, n in self._numbers.items()]
        info = {"description": f"air3d scenes, {self.folder.split}", "version": SCHEMA}
        yield f'{{\n"info": {json.dumps(info)},\n"licenses": [],\n"categories": {json.dumps(categories)},\n'.encode()
        yield b'"images": ['
        yield from _separated(self._images())
        yield b'],\n"annotations": ['
        yield from _separated(self._annotations(progress))
        yield b"]\n}\n"

    def _images(self) -> Iterator[dict[str, Any]]:
        config = self._dataset.config
        for index in range(len(self._dataset)):
            file = f"{index // config.scenes_per_shard:06d}/{index:08d}.png"
            yield {"id": index, "file_name": file, "width": config.size, "height": config.size}

    def _annotations(self, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        number = 0  # of the annotation; counted from 1, for pycocotools takes 0 for "no match"
        for sample in self._samples():
            for n, item in enumerate(sample["scene"].objects):
                mask = sample["segmentation"] == n + 1
                (box,) = mask_boxes(mask[None])
                if box is None:
                    continue
                number += 1
                yield {
                    "id": number,
                    "image_id": sample["index"],
                    "category_id": self._numbers[item.kind],
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": int(mask.sum()),
                    "segmentation": rle(mask),
                    "iscrowd": 0,
                }
            progress(1)

    def _samples(self) -> Iterator[Sample]:
        """All samples, each shard's after its images were copied."""
        for shard in range(self._dataset.config.shards):
            indices = self._dataset.config.shard_indices(shard)
            if shard in self.folder.todo:
                with self.folder.staged(shard) as staging:
                    for index in indices:
                        image = self._dataset.members(index)["image.png"]
                        (staging / f"{index:08d}.png").write_bytes(image)
            yield from (self._dataset[index] for index in indices)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.__exit__()


def _separated(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    before = b"\n"
    for row in rows:
        yield before + json.dumps(row).encode()
        before = b",\n"
