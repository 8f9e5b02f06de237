"""Writes a dataset as COCO instances: images, and one JSON file with boxes and masks of what is visible.

Format: cocodataset.org/#format-data. Categories are the kinds (of variants, their families), numbered from 1 in the
order of the dataset's prior; an image's ID is its sample's index. Segmentations are run-length encoded, since polygons
cannot hold a mug's handle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.annotation import Box, mask_boxes
from air3d.datasets.export.folder import ExportFolder, Outcome
from air3d.datasets.export.rle import rle
from air3d.datasets.files import atomic_file, remove_stale, reported
from air3d.datasets.reader import SceneDataset
from air3d.datasets.samples import Sample
from air3d.scene3d.closing import Closing
from air3d.scene3d.own_kinds import family_of, short_name

SCHEMA = "air3d-coco/2"


def numbers(kinds: Sequence[str]) -> dict[str, int]:
    """The number of each kind's category, by full name; variants of a family share one."""
    number = {name: n for n, name in enumerate(dict.fromkeys(map(family_of, kinds)), 1)}
    return {name: number[family_of(name)] for name in kinds}


def categories(numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """COCO's categories for such numbers of kinds: plain names, of variants their families'.

    Kinds that share a plain name are called by their full names.
    """
    full = {number: family_of(name) for name, number in numbers.items()}
    plain = Counter(map(short_name, full.values()))
    return [
        {"id": number, "name": name if plain[short_name(name)] > 1 else short_name(name), "supercategory": "object"}
        for number, name in full.items()
    ]


def instance(mask: NDArray[np.bool_]) -> dict[str, Any] | None:
    """`bbox`, `area` and `segmentation` of the pixels (H, W) that show an object; None if there are none."""
    (box,) = mask_boxes(mask[None])
    if box is None:
        return None
    return {"bbox": coco_box(box), "area": int(mask.sum()), "segmentation": rle(mask)}


def coco_box(box: Box) -> list[int]:
    """COCO's (x, y, width, height), in which the width is the number of columns."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


class CocoExport(Closing):
    """One run of an export; a context manager."""

    def __init__(self, dataset: SceneDataset, root: Path, split: str) -> None:
        """Claim the folder and find what is there.

        Args:
            split: the name of the split: "train", "val" or "test", also with an ending.

        Raises:
            InputError: for a folder that cannot be used.
        """
        self._dataset = dataset
        self._numbers = numbers(dataset.config.prior.kinds)
        info = {"schema": SCHEMA, "categories": list(self._numbers)}
        self.folder = ExportFolder(root, split, dataset, info, {})

    def run(self, progress: Callable[[int], None]) -> Outcome:
        """Copy the images that are missing, and write the annotations of all.

        Args:
            progress: is called with the number of images annotated since its last call, those found included.

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
        """Yield the JSON line by line, an image or annotation in each: it may be larger than memory."""
        info = {"description": f"air3d scenes, {self.folder.split}", "version": SCHEMA}
        known = json.dumps(categories(self._numbers))
        yield f'{{\n"info": {json.dumps(info)},\n"licenses": [],\n"categories": {known},\n'.encode()
        yield b'"images": ['
        yield from _separated(self._images())
        yield b'],\n"annotations": ['
        yield from _separated(self._annotations(progress))
        yield b"]\n}\n"

    def _images(self) -> Iterator[dict[str, Any]]:
        config = self._dataset.config
        size = config.image_size._asdict()
        for index in range(len(self._dataset)):
            file = f"{index // config.scenes_per_shard:06d}/{index:08d}.png"
            yield {"id": index, "file_name": file, **size}

    def _annotations(self, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        number = 0  # of the annotation; counted from 1, for pycocotools takes 0 for "no match"
        for sample in self._samples():
            for n, item in enumerate(sample["scene"].objects):
                found = instance(sample["segmentation"] == n + 1)
                if found is not None:
                    number += 1
                    yield {
                        "id": number,
                        "image_id": sample["index"],
                        "category_id": self._numbers[item.kind],
                        **found,
                        "iscrowd": 0,
                    }
            progress(1)

    def _samples(self) -> Iterator[Sample]:
        """Yield all samples, those of a shard after its images were copied."""
        for shard in range(self._dataset.config.shards):
            indices = self._dataset.config.shard_indices(shard)
            if shard in self.folder.todo:
                with self.folder.staged(shard) as staging:
                    for index in indices:
                        image = self._dataset.members(index)["image.png"]
                        (staging / f"{index:08d}.png").write_bytes(image)
            yield from (self._dataset[index] for index in indices)

    def close(self) -> None:
        """Give the folder back."""
        self.folder.close()


def _separated(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    before = b"\n"
    for row in rows:
        yield before + json.dumps(row).encode()
        before = b",\n"
