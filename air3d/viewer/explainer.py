"""Lets a model work for several tabs: answers, posterior samples and their pictures, one request after the other."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.evaluation.answers import answer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.closing import Closing
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene import Scene
from air3d.scenes.guide import Guide
from air3d.scenes.model import Hypotheses, SceneModel
from air3d.viewer.gallery import Entry
from air3d.viewer.scene_errors import scene_errors

_Result = TypeVar("_Result")
_CHUNK = 32
_KEPT = 256


class Samples(NamedTuple):
    """K posterior samples of one picture, the heaviest first.

    Attributes:
        scenes: the K scenes.
        weight: (K,), normalised importance weights.
        log_likelihood: (K,), log p(x | z), nats.
        renders: (K, S, S, 3) uint8.
        worth: says in words how many samples the weights leave.
    """

    scenes: tuple[Scene, ...]
    weight: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    renders: NDArray[np.uint8]
    worth: str


class Explainer(Closing):
    """Infers pictures. A context manager.

    Everything that draws runs on one thread of its own, which also makes the renderer: an OpenGL context belongs to
    the thread that made it, and no backend draws for two at a time. Callers on any thread wait for their turn.

    Args:
        model: the model that explains the pictures.
        make: makes the renderer of `model.render_config`.
        samples: K, how many posterior samples a picture gets; 0 for none.
        seed: seeds the samples: those of a picture depend on it and the picture alone.
    """

    def __init__(self, model: SceneModel[Guide], make: Callable[[], Renderer], samples: int, seed: int) -> None:
        self.model, self.sample_count, self.seed = model, samples, seed
        self._kept: OrderedDict[str, Samples] = OrderedDict()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "air3d-explainer")
        try:
            self._renderer = self._thread.submit(make).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def close(self) -> None:
        """Drop waiting requests, finish the running one, free the renderer and the thread."""
        self._closed = True
        # On Ctrl-C requests may still be waiting: they are of no use to anyone.
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._renderer.close()

    def draw(self, scenes: Sequence[Scene]) -> NDArray[np.uint8]:
        """Draw scenes as the model sees them, (B, S, S, 3) uint8."""
        prior = self.model.prior
        batch = SceneBatch.from_scenes(scenes, prior.kinds, max(prior.max_objects, 1))
        return self._turn(self._renderer.render, batch)

    def explain(
        self,
        names: Sequence[str],
        images: NDArray[np.uint8],
        truth: Sequence[Scene] | None = None,
        report: Callable[[int], None] = lambda count: None,
    ) -> tuple[Entry, ...]:
        """Infer pictures (B, S, S, 3) uint8 and compare with the truth where it is given.

        Args:
            report: is called with the number of pictures done since its last call.
        """
        entries: list[Entry] = []
        for start in range(0, len(images), _CHUNK):
            part = slice(start, start + _CHUNK)
            true = None if truth is None else truth[part]
            entries += self._turn(self._explain, names[part], images[part], true)
            report(len(images[part]))
        return tuple(entries)

    def samples(self, image: NDArray[np.uint8]) -> Samples | None:
        """Draw posterior samples of a picture (S, S, 3); None if none are wanted."""
        if not self.sample_count:
            return None
        return self._turn(self._samples, image)

    def _turn(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        """Wait for a turn on the thread, and for the work."""
        if self._closed:
            raise InputError("the viewer is closing")
        try:
            return self._thread.submit(work, *arguments).result()
        except CancelledError:
            raise InputError("the viewer is closing") from None

    def _explain(self, names: Sequence[str], images: NDArray[np.uint8], truth: Sequence[Scene] | None) -> list[Entry]:
        found = answer(self.model, self._renderer, images)
        renders = self._renderer.render(found.scenes)
        errors = [None] * len(images) if truth is None else scene_errors(SceneBatch.from_scenes(truth), found.scenes)
        return [
            Entry(
                name=names[b],
                image=images[b],
                truth=None if truth is None else truth[b],
                inferred=scene,
                presence=tuple(found.presence[b][found.scenes.present[b]].tolist()),
                render=renders[b],
                errors=errors[b],
            )
            for b, scene in enumerate(found.scenes.to_scenes())
        ]

    def _samples(self, image: NDArray[np.uint8]) -> Samples:
        key = hashlib.sha256(image.tobytes()).hexdigest()
        if key not in self._kept:
            generator = torch.Generator(self.model.device).manual_seed(self.seed)
            drawn = self.model.sample(image[None], self._renderer, self.sample_count, generator)
            order = np.argsort(-drawn.weight[0], kind="stable")
            scenes = drawn.scenes[order]
            self._kept[key] = Samples(
                tuple(scenes.to_scenes()),
                drawn.weight[0][order],
                drawn.log_likelihood[0].double().numpy()[order],
                self._renderer.render(scenes),
                _worth(drawn),
            )
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def _worth(drawn: Hypotheses) -> str:
    """Say what the samples of one picture are worth."""
    doubt = drawn.doubt(0)
    return f"{drawn.effective_samples[0]:.1f} effective of {drawn.log_weight.shape[1]}" + (
        f": {doubt}" if doubt else ""
    )
