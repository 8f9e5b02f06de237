"""Pictures a model while it learns: inputs and reconstructions with the attention windows; a strip and a video."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from air3d.datasets.digits.reader import DigitsArrays
from air3d.datasets.files import atomic_file
from air3d.datasets.pictures import encode_film, encode_picture
from air3d.digits.infer import infer
from air3d.digits.pictures import side_by_side, windows_picture
from air3d.digits.store import Model

_SHOWN, _ENLARGED = 8, 2
_STRIP = 6
_FRAME_MS = 200


class Stages:
    """Keeps a picture for every point of a curve, in `folder`: the first images of a set, chosen for nothing else."""

    def __init__(self, folder: Path, data: DigitsArrays) -> None:
        self._folder, self._images = folder, data.images[:_SHOWN]

    def look(self, iteration: int, model: Model) -> None:
        """Draw the model's present answers to the images."""
        found = infer(model, self._images)
        if found.counts is None or found.z_where is None:
            return
        tiles = [
            windows_picture(picture, found.z_where[i, : found.counts[i]], _ENLARGED)
            for i, picture in enumerate(found.reconstructions)
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        if iteration == 0:  # what an earlier training left is not of this one
            for path in self._folder.glob("*.png"):
                path.unlink()
        with atomic_file(self._folder / f"{iteration:08d}.png") as file:
            file.write(encode_picture(side_by_side(tiles)))

    def inputs(self) -> NDArray[np.uint8]:
        """Draw the images themselves, in a row."""
        none = np.zeros((0, 3), dtype=np.float32)
        return side_by_side([windows_picture((i / 255.0).astype(np.float32), none, _ENLARGED) for i in self._images])

    def frames(self) -> list[tuple[int, NDArray[np.uint8]]]:
        """The (iteration, picture) of every stage, in order."""
        return [(int(path.stem), imageio.imread(path)) for path in sorted(self._folder.glob("*.png"))]

    def strip(self) -> tuple[list[int], NDArray[np.uint8]]:
        """Draw the images, and below them up to six stages, denser at first; return iterations and picture."""
        frames = self.frames()
        shares = np.linspace(0.0, 1.0, min(_STRIP, len(frames))) ** 2
        chosen = sorted({round(share * (len(frames) - 1)) for share in shares})
        rows = [self.inputs(), *(frames[k][1] for k in chosen)]
        gap = np.zeros((4, rows[0].shape[1], 3), dtype=np.uint8)
        return [frames[k][0] for k in chosen], np.concatenate([part for row in rows for part in (gap, row)][1:])

    def video(self) -> bytes:
        """Draw all stages below the images, as an animated GIF."""
        top = self.inputs()
        return encode_film([np.concatenate([top, frame]) for _, frame in self.frames()], _FRAME_MS, ".gif")
