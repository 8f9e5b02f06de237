"""Makes a film of learning: the same few images, and the model's answers to them, frame by frame."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from air3d.datasets.files import atomic_file
from air3d.datasets.pictures import encode_film, encode_picture, enlarge
from air3d.renderers.protocol import Renderer
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.training.board import Board

_SHOWN, _SCALE, _SEED = 8, 2, 20_161_205
_MS_A_FRAME, _MOST_FRAMES = 150, 300


class LearningFilm:
    """Draws frames into RUN/frames while a model learns, and RUN/learning.gif and learning.mp4 at the end.

    Args:
        folder: the folder of the run.
        every: the iterations between frames; 0 for no film.
        model: the model that learns.
        images: (N, S, S, 3) uint8, the images it learns from; the first few are shown; None shows scenes of its prior.
        renderer: draws its answers.
        board: gets the frames too.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        model: SceneModel[Guide],
        images: NDArray[np.uint8] | None,
        renderer: Renderer,
        board: Board,
    ) -> None:
        self._board = board
        self._folder, self._every, self._renderer = folder / "frames", every, renderer
        if images is None:
            scenes = ScenePrior(model.prior).sample_batch(np.random.default_rng(_SEED), _SHOWN)
            images = renderer.render(scenes)
        self._images = images[:_SHOWN]

    def look(self, iteration: int, model: SceneModel[Guide]) -> None:
        """Draw a frame if one is due; frames are files, so an interrupted run loses none."""
        if not self._every or (iteration % self._every and iteration != 1):
            return
        answer = self._renderer.render(model.infer(self._images, self._renderer).scenes)
        picture = np.concatenate([np.concatenate(list(row), axis=1) for row in (self._images, answer)], axis=0)
        self._board.picture("images_and_answers", picture, iteration)
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._folder / f"{iteration:07d}.png") as file:
            file.write(encode_picture(enlarge(picture, _SCALE)))

    def finish(self) -> None:
        """Put the frames together: the images above, the answers below."""
        paths = sorted(self._folder.glob("*.png")) if self._folder.is_dir() else []
        if not paths:
            return
        chosen = paths[:: -(-len(paths) // _MOST_FRAMES)]
        chosen += [paths[-1]] if chosen[-1] != paths[-1] else []
        frames = [imageio.imread(path) for path in chosen]
        for suffix in (".gif", ".mp4"):
            with atomic_file(self._folder.parent / f"learning{suffix}") as file:
                file.write(encode_film(frames, _MS_A_FRAME, suffix))
