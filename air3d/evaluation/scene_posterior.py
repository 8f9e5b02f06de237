"""The posterior of one picture: scenes by their probability, to be drawn, scored and summed up."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from air3d.distributions.parts import each
from air3d.evaluation.metrics import match
from air3d.evaluation.netcdf import posterior_tree
from air3d.networks.plain_torch import plain_torch
from air3d.renderers.protocol import Renderer
from air3d.scene3d.arguments import check_is, whole
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.closing import Closing
from air3d.scene3d.scene import Scene
from air3d.scenes.depth import Images, colours
from air3d.scenes.guide import Guide
from air3d.scenes.latents import SceneLatents
from air3d.scenes.model import SceneModel
from air3d.scenes.resample_move import ResampleMove

if TYPE_CHECKING:
    import xarray

LEVELS = (0.5, 0.8, 0.9)
# All orders of so many objects are summed over; of more, as many orders drawn at random.
_ALL_ORDERS = 4


class ScenePosterior(Closing):
    """The posterior over scenes given one picture. It holds a renderer: use it as a context manager, or call `close`.

    Attributes:
        samples: K scenes, which count equally: draws of the guide, resampled by weight and moved by renders.
        effective_samples: the number that the K draws were worth before; below some ten, few scenes stand for all.
        accepted: the share of the moves that was accepted.
    """

    def __init__(
        self, model: SceneModel[Guide], picture: Images, renderer: Renderer, config: ResampleMove, seed: int
    ) -> None:
        """Sample; the picture is (H, W, 3), of the model's size, or with depth (`air3d.scenes.depth`)."""
        self._model, self._picture, self._renderer = model, picture, renderer
        found = model.posterior(picture[None], renderer, config, torch.Generator().manual_seed(seed))
        self._batch, self._rng = found.scenes, np.random.default_rng(seed)
        self._log_likelihood = found.log_likelihood[0].double().numpy()
        self.samples = tuple(found.scenes)
        self.effective_samples, self.accepted = float(found.effective_samples[0]), float(found.accepted[0])

    def close(self) -> None:
        """Free the renderer; what was sampled stays."""
        self._renderer.close()

    def sample(self, count: int = 1) -> list[Scene]:
        """Draw scenes out of the K samples, with replacement.

        Raises:
            InputError: if `count` is no whole number from 0.
        """
        chosen = self._rng.integers(len(self.samples), size=whole("posterior", "count", count, 0))
        return [self.samples[k] for k in chosen.tolist()]

    @plain_torch()
    def log_prob(self, scene: Scene) -> float:
        """The guide's log-density log q(z | x) of a scene as a set: its sum over the orders to name the objects in.

        Up to four objects all orders are summed; of more, 24 drawn at random stand for all. The units are those of the
        world's latents (`World.log_prior`). It is -inf for a scene that the guide cannot name.

        Raises:
            InputError: for something that is no scene, or one of kinds or on a table that the model does not know.
        """
        check_is("posterior", "scene", scene, Scene)
        prior = self._model.prior
        batch = SceneBatch.from_scenes([scene], prior.kinds, prior.max_objects, prior.table)
        latents, count = self._model.world.from_batch(batch, self._model.device), len(scene.objects)
        orders = self._orders(count)
        slots = torch.arange(prior.max_objects).repeat(len(orders), 1)
        slots[:, :count] = torch.tensor(orders, dtype=torch.int64).reshape(len(orders), count)
        viewpoint = each(latents.viewpoint, lambda part: part[:, None].expand(1, len(orders), *part.shape[1:]))
        objects = each(latents.objects, lambda part: part[0][slots][None])
        with torch.no_grad():
            pixels = self._model.pixels(self._picture[None])
            looked = self._model.guide.look(pixels, self._model.painter(self._renderer))
            log_q = looked.log_prob(SceneLatents(viewpoint, objects))[0].double()
        return float(torch.logsumexp(log_q, 0)) + math.lgamma(count + 1) - math.log(len(orders))

    def to_xarray(self) -> xarray.DataTree:
        """Make a tree of the samples with the groups of ArviZ, as `air3d.evaluation.netcdf.posterior_tree` does.

        Raises:
            InputError: if the package xarray is missing.
        """
        return posterior_tree(self._batch, self._log_likelihood, colours(self._picture))

    def _orders(self, count: int) -> list[tuple[int, ...]]:
        if count <= _ALL_ORDERS:
            return list(itertools.permutations(range(count)))
        return [tuple(self._rng.permutation(count).tolist()) for _ in range(math.factorial(_ALL_ORDERS))]

    def summary(self) -> dict[str, Any]:
        """Sum the samples up, as JSON values.

        - count: the probability of each number of objects that occurs.
        - kinds: every collection of kinds that occurs, with its probability, the most probable first.
        - camera: of azimuth_rad, elevation_rad, distance_m the median, and the central intervals of 50, 80 and 90 %;
          the azimuth's are about its circular mean, and may leave [-pi, pi].
        - objects: of the most probable collection of kinds, objects matched from sample to sample: kind, the mean
          position_m, region_m (the radii about it that hold 50, 80 and 90 %), and region_rad, the same of the rotation
          about that of the sample nearest to all others, modulo symmetry; null where no rotation can be seen.
        """
        batch, total = self._batch, len(self.samples)
        counts = Counter(batch.present.sum(axis=1).tolist())
        kinds = Counter(tuple(sorted(item.kind for item in scene.objects)) for scene in self.samples)
        names, _ = kinds.most_common(1)[0]
        rows = [k for k, scene in enumerate(self.samples) if tuple(sorted(o.kind for o in scene.objects)) == names]
        return {
            "count": {str(n): counts[n] / total for n in sorted(counts)},
            "kinds": [{"kinds": list(names), "probability": n / total} for names, n in kinds.most_common()],
            "camera": {
                "azimuth_rad": _intervals(_unrolled(batch.camera_azimuth_rad)),
                "elevation_rad": _intervals(batch.camera_elevation_rad),
                "distance_m": _intervals(batch.camera_distance_m),
            },
            "objects": _objects(batch[np.array(rows)]),
            "effective_samples": self.effective_samples,
            "accepted": self.accepted,
        }


def _unrolled(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angles, each within half a turn of their circular mean."""
    mean = np.angle(np.exp(1j * angle).mean())
    return np.asarray(mean + np.angle(np.exp(1j * (angle - mean))))


def _intervals(values: NDArray[np.float64]) -> dict[str, Any]:
    ends = {f"{level:g}": np.quantile(values, (0.5 - level / 2.0, 0.5 + level / 2.0)).tolist() for level in LEVELS}
    return {"median": float(np.median(values)), "intervals": ends}


def _radii(distance: NDArray[np.float64]) -> dict[str, float]:
    return {f"{level:g}": float(np.quantile(distance, level)) for level in LEVELS}


def _objects(batch: SceneBatch) -> list[dict[str, Any]]:
    """Sum up objects of scenes that have the same kinds: those of the first scene, and what is matched to them."""
    first = batch[np.zeros(len(batch), dtype=np.int64)]
    matches = match(first, batch)
    found = []
    for slot in np.flatnonzero(batch.present[0]).tolist():
        mine = (matches.true_slot == slot) & matches.same_kind
        scene, other = matches.scene[mine], matches.inferred_slot[mine]
        position, kind = batch.position_m[scene, other], get_kind(batch.kinds[batch.kind[0, slot]])
        turns = batch.frames()[scene, other, :3, :3]
        middle = position.mean(axis=0)
        region = None
        if not kind.symmetry.spherical:
            apart = np.array([kind.symmetry.rotation_error_rad(turn, turns) for turn in turns])
            region = _radii(apart[apart.mean(axis=1).argmin()])
        found.append(
            {
                "kind": kind.name,
                "position_m": middle.tolist(),
                "region_m": _radii(np.linalg.norm(position - middle, axis=1)),
                "region_rad": region,
            }
        )
    return found
