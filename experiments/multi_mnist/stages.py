"""Pictures a model while it learns: inputs and reconstructions with the attention windows; a strip and a video."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from air3d.datasets.files import atomic_file
from air3d.datasets.pictures import encode_film, encode_picture
from air3d.digits.infer import infer
from air3d.digits.pictures import side_by_side, windows_picture
from air3d.digits.store import Model

_SHOWN, _ENLARGED = 8, 2
_STRIP = 6
_FRAME_MS = 200
_INPUTS = "inputs.png"


def look(folder: Path, images: NDArray[np.uint8], iteration: int, model: Model) -> None:
    """Keep in a folder the model's present answers to the first images of a set, chosen for nothing else."""
    images = images[:_SHOWN]
    found = infer(model, images)
    if found.counts is None or found.z_where is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if iteration == 0:  # what an earlier training left is not of this one
        for path in folder.glob("*.png"):
            path.unlink()
    _keep(folder / _INPUTS, (images / 255.0).astype(np.float32), [np.zeros((0, 3), dtype=np.float32)] * len(images))
    windows = [found.z_where[i, :count] for i, count in enumerate(found.counts)]
    _keep(folder / f"{iteration:08d}.png", found.reconstructions, windows)


def _keep(path: Path, pictures: NDArray[np.float32], windows: list[NDArray[np.float32]]) -> None:
    tiles = [windows_picture(*both, _ENLARGED) for both in zip(pictures, windows, strict=True)]
    with atomic_file(path) as file:
        file.write(encode_picture(side_by_side(tiles)))


def frames(folder: Path) -> dict[int, NDArray[np.uint8]]:
    """The picture of every stage by its iteration, in order."""
    return {int(path.stem): imageio.imread(path) for path in sorted(folder.glob("[0-9]*.png"))}


def chosen(iterations: list[int]) -> list[int]:
    """Choose up to six stages, denser at first."""
    shares = np.linspace(0.0, 1.0, min(_STRIP, len(iterations))) ** 2
    return sorted({iterations[round(share * (len(iterations) - 1))] for share in shares})


def strip(folder: Path) -> NDArray[np.uint8]:
    """Draw the images, and below them the chosen stages."""
    stages = frames(folder)
    rows = [imageio.imread(folder / _INPUTS), *(stages[iteration] for iteration in chosen(list(stages)))]
    gap = np.zeros((4, rows[0].shape[1], 3), dtype=np.uint8)
    return np.concatenate([part for row in rows for part in (gap, row)][1:])


def video(folder: Path) -> bytes:
    """Draw all stages below the images, as an animated GIF."""
    top = imageio.imread(folder / _INPUTS)
    return encode_film([np.concatenate([top, frame]) for frame in frames(folder).values()], _FRAME_MS, ".gif")
