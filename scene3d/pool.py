"""A pool of scenes: arrangements of objects drawn beforehand, used again and again, each time seen anew.

Physics takes some milliseconds to settle a scene, a renderer some microseconds to draw it. Training that dreams a
million scenes draws them from some ten thousand arrangements: every dream has a camera and a light of its own, and
where the table looks the same when it is turned, the arrangement is turned with it.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.poses import turned
from air3d.scene3d.prior import PriorConfig, ScenePrior

# By the shape of the table: the number of turns that leave it as it is; 0 for any.
_KEPT = ("kind", "position_m", "rotation_wxyz", "scale", "colour")
_TURNS = {"round": 0, "rectangle": 2, "square": 4, "bin": 4}


@dataclass(frozen=True)
class ScenePool:
    """Draws scenes of a prior from arrangements that it keeps.

    Attributes:
        prior: the prior.
        arrangements: (P) scenes of it.
    """

    prior: PriorConfig
    arrangements: SceneBatch

    @staticmethod
    def fill(
        prior: PriorConfig, size: int, seed: int, threads: int, made: Callable[[int], None] = lambda number: None
    ) -> ScenePool:
        """Draw `size` arrangements; number i depends on (prior, seed, i) alone.

        Args:
            made: is told how many more there are, now and then.

        Raises:
            InputError: if the objects cannot be placed.
        """
        draw, streams = ScenePrior(prior), np.random.SeedSequence(seed).spawn(size)
        scenes = []
        # MuJoCo steps without Python's lock.
        with ThreadPoolExecutor(threads) as pool:
            for scene in pool.map(lambda stream: draw.sample(np.random.default_rng(stream)), streams):
                scenes.append(scene)
                made(1)
        slots = max(prior.max_objects, 1)
        return ScenePool(prior, SceneBatch.from_scenes(scenes, prior.kinds, slots, prior.table))

    def sample_batch(self, rng: np.random.Generator, size: int) -> SceneBatch:
        """Draw scenes: arrangements by chance, turned, in any order, under other cameras and lights."""
        chosen = self.arrangements[rng.integers(len(self.arrangements), size=size)]
        chosen = chosen.reordered(np.argsort(rng.random(chosen.kind.shape) + ~chosen.present, axis=1))
        turns = _TURNS[self.prior.table.shape]
        angle = rng.random(size) if not turns else rng.integers(turns, size=size) / turns
        angles = np.broadcast_to(2.0 * math.pi * angle[:, None], chosen.kind.shape)
        position, rotation = turned(chosen.position_m, chosen.rotation_wxyz, angles)
        empty = _seen_anew(self.prior, rng, size)
        views = [f.name for f in fields(empty) if f.name.startswith(("camera_", "light_", "lamps"))]
        seen = {name: getattr(empty, name) for name in views}
        return replace(chosen, position_m=position, rotation_wxyz=rotation, **seen)

    def to_bytes(self) -> bytes:
        """The arrangements as the bytes of a file of numpy's (npz)."""
        file = io.BytesIO()
        np.savez(file, **{name: getattr(self.arrangements, name) for name in _KEPT})
        return file.getvalue()

    @staticmethod
    def from_bytes(prior: PriorConfig, data: bytes) -> ScenePool:
        """Read arrangements of a prior back.

        Raises:
            ValueError: if they are something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                kept = {name: file[name] for name in _KEPT}
            count, slots = kept["kind"].shape
            empty = _seen_anew(prior, np.random.default_rng(0), count).with_slots(slots)
            return ScenePool(prior, replace(empty, **kept))
        except (KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, InputError) as error:
            raise ValueError(str(error)) from None


def _seen_anew(prior: PriorConfig, rng: np.random.Generator, size: int) -> SceneBatch:
    """Draw empty tables under cameras and lights of the prior, with a slot."""
    empty = ScenePrior(replace(prior, min_objects=0, max_objects=0, pose="upright"))
    return empty.sample_batch(rng, size)
