"""The mean image: numpy's, however the images are cut; and dreams of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.presets import tabletop_prior
from air3d.scenes.latents import World
from air3d.scenes.painter import Painter
from air3d.training.mean_image import mean_dream, mean_image


@pytest.mark.parametrize("size", [1, 4, 100])
def test_it_is_the_mean_however_the_images_are_cut(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (37, 5, 4, 3), dtype=np.uint8)
    found = mean_image(torch.from_numpy(images).split(size))
    assert found.numpy() == pytest.approx(images.astype(np.float64).mean(0), rel=1e-12)


def test_dreams_depend_on_the_seed_alone() -> None:
    prior = tabletop_prior(max_objects=1)
    with make_renderer(RenderConfig(prior.kinds, prior.table, 1, 16, 16), "analytic") as renderer:
        painter = Painter(World(prior), renderer, torch.device("cpu"))
        one, same, other = (mean_dream(painter, 6, seed) for seed in (0, 0, 1))
    assert one.shape == (3, 16, 16) and torch.equal(one, same) and not torch.equal(one, other)
