"""The guide: a normalised density, differentiable in everything, that looks where it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from air3d.networks.encoder import EncoderConfig, GlimpseEncoder
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scenes.latents import Objects
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import GuideState, OneLookConfig, known_camera, single_world, table_to_image
from air3d.scenes.painter import to_pixels

Fits = Callable[[float, str], None]


def looked(model: SceneModel, pictures: Any, count: int) -> GuideState:
    with torch.no_grad():
        state: GuideState = model.guide(to_pixels(pictures.images[:count]))
    return state


def test_the_guide_is_normalised(model: SceneModel, pictures: Any, fits: Fits) -> None:
    """Under uniform proposals u(z) on kinds x disc x circle, E[q(z | x) / u(z)] = 1."""
    rng, count, radius = np.random.default_rng(0), 60_000, model.prior.table.place_radius_m
    volume = model.guide.kinds * math.pi * radius**2 * 2.0 * math.pi
    r, polar = radius * np.sqrt(rng.random((2, count))), rng.uniform(-math.pi, math.pi, (2, count))
    latents = Objects.upright(
        torch.from_numpy(rng.integers(model.guide.kinds, size=(2, count))),
        torch.from_numpy(np.stack([r * np.cos(polar), r * np.sin(polar)], -1)).float(),
        torch.from_numpy(rng.uniform(-math.pi, math.pi, (2, count))).float(),
    )
    with torch.no_grad():
        ratio = model.guide.log_prob(looked(model, pictures, 2), latents).double().exp().numpy() * volume
    for image in range(2):
        error = ratio[image].std(ddof=1) / math.sqrt(count)
        assert error < 0.03, "the bound is worth something"
        assert ratio[image].std() > 0.2, "the guide is far from uniform, so this is no empty test"
        fits(2.0 * stats.norm.sf(abs(ratio[image].mean() - 1.0) / error), f"integral of q {ratio[image].mean():.3f}")


def test_samples_have_a_finite_density_and_stay_in_their_space(model: SceneModel, pictures: Any) -> None:
    state = looked(model, pictures, 8)
    latents = model.guide.sample(state, 200, torch.Generator().manual_seed(1))
    assert latents.kind.shape == (8, 200) and latents.position_m.shape == (8, 200, 3)
    assert set(latents.kind.unique().tolist()) <= set(range(model.guide.kinds))
    assert (latents.place_m.norm(dim=-1) < model.prior.table.place_radius_m).all()
    assert (latents.yaw_rad.abs() <= math.pi).all()
    assert model.guide.log_prob(state, latents).isfinite().all()
    again = model.guide.sample(state, 200, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(latents, again, strict=True))


def test_the_mode_is_the_most_probable_kind_and_the_modes_given_it(model: SceneModel, pictures: Any) -> None:
    state = looked(model, pictures, 8)
    mode = model.guide.mode(state)
    assert torch.equal(mode.kind, model.guide.kind_logits(state).argmax(-1))
    assert torch.equal(mode.place_m, model.guide.position(state, mode.kind).mode())
    torch.testing.assert_close(mode.yaw_rad, model.guide.yaw(state, mode.kind, mode.place_m).mode())


def test_the_gradient_reaches_every_parameter(model: SceneModel, pictures: Any) -> None:
    state = model.guide(to_pixels(pictures.images[:8]))
    latents = model.guide.sample(state, 8, torch.Generator().manual_seed(1))
    model.guide.log_prob(state, latents).mean().backward()
    for name, parameter in model.guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # The LSTM starts from a state of zero: its recurrent weights get no gradient in the first step.
        assert (parameter.grad != 0).any() or name == "core.weight_hh", name


def test_kind_and_position_are_conditions(model: SceneModel, pictures: Any) -> None:
    state = looked(model, pictures, 1)
    zero, one = torch.tensor([0]), torch.tensor([1])
    place, elsewhere = torch.tensor([[0.05, 0.0]]), torch.tensor([[-0.05, 0.08]])
    assert not torch.equal(model.guide.position(state, zero).loc, model.guide.position(state, one).loc)
    yaw = model.guide.yaw(state, zero, place)
    assert not torch.equal(yaw.loc, model.guide.yaw(state, one, place).loc)
    assert not torch.equal(yaw.loc, model.guide.yaw(state, zero, elsewhere).loc)


class Bare(nn.Module):
    """Stands in for the layers behind the window."""

    def forward(self, window: Tensor) -> Tensor:
        return window


def windows(images: Tensor, centre: list[list[float]], side: int) -> Tensor:
    encoder = GlimpseEncoder(side, 4)
    encoder.layers = Bare()  # type: ignore[assignment]
    return torch.as_tensor(encoder(images, torch.tensor(centre)))


def test_a_window_of_odd_side_is_a_crop() -> None:
    images = torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    images[1] = 0.0
    images[1, :, 11, 4] = 1.0  # row 11, column 4
    crops = windows(images, [[7.0, 9.0], [4.0, 11.0], [0.0, 15.0]], 5)
    assert torch.allclose(crops[0], images[0, :, 7:12, 5:10], atol=1e-4)
    assert crops[1, 0].argmax() == 12, "the bright pixel is in the centre of 5 x 5"
    assert crops[1].sum() == pytest.approx(3.0, abs=1e-3)
    assert torch.allclose(crops[2, :, :3, 2:], images[2, :, 13:, :3], atol=1e-4)
    assert crops[2, :, 3:].abs().max() == 0.0 and crops[2, :, :, :2].abs().max() == 0.0, "outside is 0"


def test_a_window_of_even_side_is_centred_between_pixels() -> None:
    images = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    crop = windows(images, [[7.5, 9.5]], 4)
    assert torch.allclose(crop[0], images[0, :, 8:12, 6:10], atol=1e-4)


def test_the_window_is_at_the_projected_place(model: SceneModel, pictures: Any, prior: PriorConfig) -> None:
    seen: list[Tensor] = []
    model.guide.glimpse_encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    state = looked(model, pictures, 6)
    place = model.guide.mode(state).place_m.double().numpy()
    height = np.mean([get_kind(name).height_m for name in prior.kinds]) / 2.0
    points = np.column_stack([place, np.full(6, height)])
    expected, _ = known_camera(model.world).sized(32, 32).project(points)
    assert seen[0].numpy() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("azimuth", [0.0, 2.1])
def test_the_homography_agrees_with_the_camera(prior: PriorConfig, azimuth: float) -> None:
    camera = Orbit(azimuth, 0.6, 0.9, (0.02, -0.01, 0.03), 0.8)
    world = single_world(replace(prior, camera=CameraPrior.fixed(camera)))
    height = np.mean([get_kind(name).height_m for name in prior.kinds]) / 2.0
    xy = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 2))
    image = np.column_stack([xy, np.ones(20)]) @ table_to_image(world, 48).double().numpy().T
    expected, _ = camera.sized(48, 48).project(np.column_stack([xy, np.full(20, height)]))
    assert image[:, :2] / image[:, 2:] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"head": 9000}, "head is 9000"),
        ({"yaw_components": 0}, "yaw_components is 0"),
        ({"window": -3}, "window is -3"),
        ({"glimpse": 0}, "glimpse is 0"),
    ],
)
def test_bad_sizes_of_the_guide_are_refused(change: dict[str, int], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        OneLookConfig(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [(60, (8, 8, 8), 16), (4, (8,), 16), (2048, (8,), 16), (32, (), 16), (32, (0,), 16), (32, (8,), 0)]
)
def test_bad_sizes_of_the_encoder_are_refused(arguments: tuple[int, tuple[int, ...], int]) -> None:
    with pytest.raises(InputError, match="encoder"):
        EncoderConfig(*arguments)


@pytest.mark.parametrize("components", [1, 2, 7, 8, 16, 64])
def test_yaw_starts_nearly_uniform(prior: PriorConfig, pictures: Any, components: int, small_guide: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SceneModel.of(prior, replace(small_guide, yaw_components=components), Likelihood())
    kind, angle = torch.zeros(100, dtype=torch.int64), torch.linspace(-math.pi, math.pi, 100)
    state = GuideState(*(part.expand(100, -1) for part in looked(model, pictures, 1)))
    with torch.no_grad():
        density = model.guide.yaw(state, kind, torch.zeros(100, 2)).log_prob(angle).exp() * 2.0 * math.pi
    assert density.isfinite().all()
    if components >= 8:  # fewer are not wide enough to fill the circle
        assert density.numpy() == pytest.approx(np.ones(100), abs=0.1)


def test_other_settings_are_refused(prior: PriorConfig) -> None:
    with pytest.raises(InputError, match="exactly 1 object, not 1 to 3"):
        single_world(replace(prior, max_objects=3))
    with pytest.raises(InputError, match="azimuth_rad varies"):
        single_world(replace(prior, camera=replace(prior.camera, azimuth_rad=(0.0, 1.0))))
    with pytest.raises(InputError, match="without --perturb"):
        single_world(replace(prior, perturb=Perturbation(colour=0.1)))
