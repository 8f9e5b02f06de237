"""Codes of kinds: their pictures, what they depend on, and that a guide tells kinds apart by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.presets import tabletop_prior
from air3d.scenes.kind_codes import SIDE, VIEWS, OneHot, PictureCodes, draw_kinds, make_kind_codes
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.sleep import Slips, dream, sleep_loss
from air3d.scenes.step_guide import StepGuideConfig

KINDS = ("mug", "sphere", "plate")


@pytest.fixture(scope="module", params=[(64, 64), (48, 80), (80, 48)])
def pictures(request: pytest.FixtureRequest) -> np.ndarray:
    height, width = request.param
    with make_renderer(RenderConfig(KINDS, height=height, width=width), "raster") as renderer:
        return draw_kinds(renderer, KINDS).reshape(len(KINDS), VIEWS, 4, SIDE, SIDE)


def test_a_kind_fills_its_pictures_but_for_a_margin(pictures: np.ndarray) -> None:
    outline = pictures[:, :, 3]
    assert not outline[..., 0, :].any() and not outline[..., -1, :].any(), "nothing is cut off"
    assert not outline[..., 0].any() and not outline[..., -1].any()
    ball = outline[1] / 255.0
    assert ball.sum((1, 2)) == pytest.approx(np.pi / 4.0 * (SIDE / 1.1) ** 2, rel=0.06), "a ball is round"
    assert not pictures[:, :, :3].transpose(0, 1, 3, 4, 2)[outline == 0].any(), "nothing but the kind is shown"
    middle = (np.arange(SIDE) + 0.5) @ ball.sum(1).T / ball.sum((1, 2))
    assert middle == pytest.approx(SIDE / 2, abs=0.3), "in the middle"


def test_a_plate_is_seen_from_above_below_and_the_side(pictures: np.ndarray) -> None:
    area = pictures[2, :, 3].mean((1, 2)) / 255.0
    assert area.max() > 2.5 * area.min()
    assert len(np.unique(pictures[0].reshape(VIEWS, -1), axis=0)) == VIEWS


def test_codes_are_of_pictures_and_not_of_numbers() -> None:
    torch.manual_seed(0)
    codes = PictureCodes(KINDS, 6)
    other = PictureCodes(KINDS[::-1], 6)
    with make_renderer(RenderConfig(KINDS, height=32, width=32), "raster") as renderer:
        codes.meet(renderer)
        other.meet(renderer)
        kept = codes.pictures.clone()
        codes.pictures[0] = 7
        codes.meet(renderer)
        assert (codes.pictures[0] == 7).all(), "it looks once"
        codes.pictures.copy_(kept)
    mine = {name: value for name, value in codes.state_dict().items() if name != "pictures"}
    other.load_state_dict(mine | {"pictures": other.pictures})
    kind = torch.tensor([0, 1, 2])
    with torch.no_grad():
        assert torch.allclose(codes(kind), other(2 - kind), atol=1e-5)
        first = codes(kind)
        assert codes(kind) is not first and torch.equal(codes(kind), first)
        codes.whole[0].bias.add_(0.5)
        assert not torch.allclose(codes(kind), first), "weights that have changed give other codes"
        assert torch.allclose(codes.logits(codes(kind)), codes(kind) @ codes(kind).T / 6**0.5)
    codes(kind).sum().backward()
    codes(kind).sum().backward()  # a graph of its own each time


def test_without_pictures_a_kind_is_a_number() -> None:
    codes = make_kind_codes(KINDS, 0)
    assert isinstance(codes, OneHot) and codes.size == 3 and not list(codes.state_dict())
    assert torch.equal(codes(torch.tensor([[2, 0]])), torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]))
    named = torch.randn(4, 3)
    assert codes.logits(named) is named


def test_kinds_are_told_apart_by_their_codes() -> None:
    """A few dreams are soon named rightly, by way of the pictures alone."""
    torch.manual_seed(0)
    prior = tabletop_prior(("mug", "plate"), 1, 1)
    sizes = StepGuideConfig(
        image_size=32, camera_widths=(4, 4, 4), camera_code=8, widths=(8, 8, 8), head=16, window=16, glimpse=16,
        azimuth_components=2, kind_code=4,
    )  # fmt: skip
    model = SceneModel.of(prior, sizes, Likelihood())
    with make_renderer(model.render_config, "raster") as renderer:
        model.guide.meet(renderer)
        painter = model.painter(renderer)
        images, latents = dream(painter, 16, np.random.default_rng(5))
        model.guide.mean_image.copy_(images.mean(0))
        optimiser = torch.optim.Adam(model.guide.parameters(), lr=1e-2)
        generator, losses = torch.Generator().manual_seed(0), []
        for _ in range(40):
            loss = sleep_loss(model.guide, painter, images, latents, Slips(), generator)
            optimiser.zero_grad()
            loss.total.backward()
            optimiser.step()
            losses.append(float(loss.what))
    assert losses[0] > 0.3 and np.mean(losses[-5:]) < 0.1
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.guide.kind_codes.parameters())
