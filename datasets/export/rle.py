"""Encodes masks as COCO's compressed text of run lengths.

A mask is read column after column; runs of zeros and ones alternate, zeros first (possibly none). From the fourth run
on, the difference to the run two before is written. Each number goes into groups of five bits, low ones first, in
two's complement; a sixth bit says that more follow, and 48 is added to make a character. Source:
github.com/cocodataset/cocoapi, common/maskApi.c.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rle(mask: NDArray[np.bool_], compressed: bool = True) -> dict[str, object]:
    """Encode a mask (H, W) as the dict with `size` (height, width) and `counts` that pycocotools takes.

    Args:
        compressed: makes `counts` text; else they are the list of runs, as BOP has them.
    """
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat != np.concatenate([[False], flat[:-1]]))
    runs = np.diff(np.append(changes, flat.size), prepend=0).tolist()
    return {"size": list(mask.shape), "counts": _characters(runs) if compressed else runs}


def _characters(runs: list[int]) -> str:
    text = []
    for k, run in enumerate(runs):
        value = run - runs[k - 2] if k > 2 else run
        while True:
            group, value = value & 0x1F, value >> 5
            more = value != (-1 if group & 0x10 else 0)
            text.append(chr(48 + group + 0x20 * more))
            if not more:
                break
    return "".join(text)
