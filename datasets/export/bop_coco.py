"""Makes `scene_gt_coco.json` for a scene of a BOP dataset, as bop_toolkit's calc_gt_coco.py does.

It differs from COCO's own form: boxes are those of the whole object in the image, segmentations lists of runs, and what
is hardly visible is marked to be ignored.
"""

from __future__ import annotations

from typing import Any

from air3d.datasets.annotation import mask_boxes
from air3d.datasets.config import GenerateConfig
from air3d.datasets.export.coco import categories, coco_box
from air3d.datasets.export.rle import rle
from air3d.datasets.export.silhouettes import Silhouette
from air3d.datasets.samples import Sample

# Objects less visible than this are no targets of the challenges.
VISIBLE = 0.1


class BopCoco:
    """The file in the making.

    Attributes:
        document: the content so far.
    """

    def __init__(self, config: GenerateConfig, version: str) -> None:
        # Numbers of object models: each variant of a family has its own.
        self._numbers = {name: number for number, name in enumerate(config.prior.kinds, 1)}
        self._size = config.image_size._asdict()
        self.document: dict[str, Any] = {
            "info": {"description": "air3d scenes", "version": version},
            "licenses": [],
            "categories": categories(self._numbers),
            "images": [],
            "annotations": [],
        }

    def add(self, image: int, sample: Sample, outlines: list[Silhouette]) -> None:
        """Add an image and its visible objects; each object has a silhouette."""
        self.document["images"].append({"id": image, "file_name": f"rgb/{image:06d}.png", **self._size})
        annotations = self.document["annotations"]
        for n, (item, outline) in enumerate(zip(sample["scene"].objects, outlines, strict=True)):
            visible = sample["segmentation"] == n + 1
            (box,) = mask_boxes(outline.mask[None])
            if box is None or not visible.any():
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": self._numbers[item.kind],
                    "iscrowd": 0,
                    "area": int(visible.sum()),
                    "bbox": coco_box(box),
                    "segmentation": rle(visible, compressed=False),
                    **self._size,
                    "ignore": bool(visible.sum() / outline.pixels < VISIBLE),
                }
            )
