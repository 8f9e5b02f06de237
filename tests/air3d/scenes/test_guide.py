"""The guide of tabletops: normalised densities that its draws follow, differentiable in everything."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from air3d.distributions.circle import wrap
from air3d.distributions.so3 import about_z
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint
from air3d.scenes.model import SceneModel
from air3d.scenes.step_guide import Step, StepGuide, StepGuideConfig
from air3d.scenes.viewpoint import ViewpointPosterior

Fits = Callable[[float, str], None]
MakeModel = Callable[..., SceneModel]

# Nearly all of what the guide proposes lies on this disc: the placement disc, the margin, and some pixels.
RADIUS_M = 0.38
CAMERAS = Viewpoint(torch.tensor([0.7, -2.9]), torch.tensor([[0.3, 0.8], [0.9, 0.1]]))


@pytest.fixture(scope="module")
def perturbed(two: PriorConfig) -> PriorConfig:
    """With one property of every object open."""
    return replace(two, perturb=Perturbation(scale=0.1))


@pytest.fixture(scope="module")
def guide(perturbed: PriorConfig, make_model: MakeModel) -> StepGuide:
    made = make_model(perturbed).guide
    with torch.no_grad():
        made.place_head.bias[3:] = -3.8  # places are known to a pixel or so
    return made


def looked(guide: StepGuide, images: Tensor, viewpoint: Viewpoint = CAMERAS) -> Step:
    """Two images with nothing explained yet."""
    images = images[: len(viewpoint.azimuth_rad)]
    none = guide.world.no_objects(viewpoint, 2)
    return guide.step(images, None, SceneLatents(viewpoint, none))  # type: ignore[arg-type]


def anything(count: int, appearance: int, kinds: int, seed: int = 0) -> Objects:
    """(2, count) objects, uniform over kinds, a disc of RADIUS_M, yaws and appearances."""
    rng = np.random.default_rng(seed)
    r, polar = RADIUS_M * np.sqrt(rng.random((2, count))), rng.uniform(-math.pi, math.pi, (2, count))
    return Objects.upright(
        torch.from_numpy(rng.integers(kinds, size=(2, count))),
        torch.from_numpy(np.stack([r * np.cos(polar), r * np.sin(polar)], -1)).float(),
        torch.from_numpy(rng.uniform(-math.pi, math.pi, (2, count))).float(),
        torch.from_numpy(rng.random((2, count, appearance))).float(),
    )


def region(objects: Objects) -> Tensor:
    """A part of the space that cuts through all of its dimensions."""
    x, y = objects.place_m.unbind(-1)
    return (x + 0.3 * y > -0.05) & (objects.kind == 0) & (objects.yaw_rad > -1.0) & (objects.appearance[..., 0] < 0.7)


def test_draws_and_density_agree_and_are_normalised(guide: StepGuide, images: Tensor, fits: Fits) -> None:
    """The mass of the disc, and of a part of it: by uniform proposals, and by counting the guide's own draws."""
    count = 4000
    volume = 2 * math.pi * RADIUS_M**2 * 2.0 * math.pi
    uniform = anything(count, 1, 2)
    with torch.no_grad():
        step = looked(guide, images)
        density = guide.log_prob(step, CAMERAS, uniform).exp().double().numpy() * volume
        drawn = guide.draw(step, CAMERAS, count, torch.Generator().manual_seed(5))
    on_disc = (drawn.place_m.norm(dim=-1) < RADIUS_M).double().mean(-1).numpy()
    assert (on_disc > 0.95).all()
    part = density * region(uniform).numpy()
    counted = region(drawn).double().mean(-1).numpy()
    assert (0.01 < counted).all() and (counted < 0.3).all(), "the part is no empty test"
    assert (density.std(-1) > 0.3).all(), "the guide is far from uniform"
    worst = 1.0
    for values, share in ((density, on_disc), (part, counted)):
        error = np.sqrt(values.var(-1, ddof=1) / count + share * (1.0 - share) / count)
        assert (error < 0.15 * values.mean(-1)).all(), "the bound is worth something"
        worst = min(worst, *(2.0 * stats.norm.sf(np.abs(values.mean(-1) - share) / error)))
    fits(4.0 * worst, "mass of the guide's proposals")


def test_the_expected_score_is_zero(guide: StepGuide, images: Tensor, fits: Fits) -> None:
    """E_q[d log q] = 0 along any direction of the parameters, if q is normalised and its draws follow it.

    By central differences, whose mean is of third order in the step.
    """
    count, worst = 1500, 1.0
    with torch.no_grad():
        drawn = guide.draw(looked(guide, images), CAMERAS, count, torch.Generator().manual_seed(6))
        for seed in range(2):
            generator = torch.Generator().manual_seed(seed)
            direction = [0.004 * torch.randn(p.shape, generator=generator) for p in guide.parameters()]
            values = []
            for side in (1.0, -1.0):
                moved = copy.deepcopy(guide)
                for parameter, part in zip(moved.parameters(), direction, strict=True):
                    parameter.add_(side * part)
                values.append(moved.log_prob(looked(moved, images), CAMERAS, drawn).double().numpy())
            score = values[0] - values[1]
            assert score.std() > 0.02, "log q depends on the parameters"
            error = score.std(-1, ddof=1) / math.sqrt(count)
            worst = min(worst, *(2.0 * stats.norm.sf(np.abs(score.mean(-1)) / error)))
    fits(4.0 * worst, "expected score")


def test_a_yaw_that_cannot_be_seen_is_uniform(guide: StepGuide, images: Tensor, fits: Fits) -> None:
    """The bowl's; the mug's is a density of its own that integrates to one."""
    with torch.no_grad():
        step = looked(guide, images)
        drawn = guide.draw(step, CAMERAS, 1500, torch.Generator().manual_seed(1))
        _, _, yaw, _ = guide.log_prob_parts(step, CAMERAS, drawn)
        assert yaw[drawn.kind == 1].numpy() == pytest.approx(-math.log(2.0 * math.pi))
        assert yaw[drawn.kind == 0].std() > 0.01
        fits(
            stats.kstest(drawn.yaw_rad[drawn.kind == 1].numpy() / (2.0 * math.pi) + 0.5, "uniform").pvalue,
            "yaw of a bowl",
        )
        angle = torch.linspace(-math.pi, math.pi, 721)[:-1]
        one = Objects(*(part[:, :1].expand(-1, 720, *part.shape[2:]) for part in drawn))
        mug = one._replace(kind=torch.zeros_like(one.kind), rotation_wxyz=about_z(angle.expand(2, -1)))
        density = guide.log_prob_parts(step, CAMERAS, mug)[2].exp()
    assert density.mean(-1).numpy() * 2.0 * math.pi == pytest.approx(np.ones(2), abs=1e-4)


def test_turning_the_world_changes_nothing(guide: StepGuide, images: Tensor) -> None:
    """The picture does not tell which way the world's x points: all is named relative to the camera."""
    turn, objects = 1.3, anything(50, 1, 2)
    objects = objects._replace(position_m=0.4 * objects.position_m)
    c, s = math.cos(turn), math.sin(turn)
    place = objects.place_m @ torch.tensor([[c, s], [-s, c]])
    turned = Objects.upright(objects.kind, place, objects.yaw_rad + turn, objects.appearance)
    other = CAMERAS._replace(azimuth_rad=wrap(CAMERAS.azimuth_rad + turn))
    with torch.no_grad():
        one = guide.log_prob_parts(looked(guide, images), CAMERAS, objects)
        two = guide.log_prob_parts(looked(guide, images, other), other, turned)
    for part, same in zip(one, two, strict=True):
        assert torch.allclose(part, same, atol=2e-3)
    assert not torch.allclose(one[0], guide.log_prob_parts(looked(guide, images), other, objects)[0], atol=0.1)


def test_nothing_is_proposed_far_off_the_table(guide: StepGuide, images: Tensor) -> None:
    """Cells more than 5 cm off the placement disc are ruled out; the rest reaches a pixel or so (3 cm) further."""
    drawn = guide.draw(looked(guide, images), CAMERAS, 1000, torch.Generator().manual_seed(2))
    away = drawn.place_m.norm(dim=-1)
    assert float(away.quantile(0.95)) < 0.20 + 0.05 + 2 * 0.03
    assert float(away.quantile(0.5)) > 0.1, "and not only in the middle"


def test_the_most_probable_object_has_the_highest_density(guide: StepGuide, images: Tensor) -> None:
    """Of place, then of kind at that place, then of yaw; with components that stand apart."""
    sharp = copy.deepcopy(guide)
    with torch.no_grad():
        sharp.place_head.bias[3:] = -9.0  # narrow
        sharp.place_head.weight[0] *= 8.0  # of different weights
        step = looked(sharp, images)
        best = sharp.most_probable(step, CAMERAS)
        assert [part.shape for part in best] == [(2,), (2, 3), (2, 4), (2, 1)]
        drawn = sharp.draw(step, CAMERAS, 1500, torch.Generator().manual_seed(3))
        one = Objects(*(part[:, None] for part in best))
        world = sharp.log_prob_parts(step, CAMERAS, one)
        others = sharp.log_prob_parts(step, CAMERAS, drawn)
        # Of place in the image: what is near spans more pixels, and has a higher density on the table.
        wide = sharp.view(CAMERAS).each()
        here = world[0] - wide.log_pixels_per_area(one.place_m)
        there = (others[0] - wide.log_pixels_per_area(drawn.place_m)).amax(-1, keepdim=True)
        assert (there <= here + 0.02).all() and (there > here - 1.0).all()
        for kind in range(2):
            other = sharp.log_prob_parts(step, CAMERAS, one._replace(kind=torch.full((2, 1), kind)))[1]
            assert (other <= world[1] + 1e-5).all()
        angle = torch.linspace(-math.pi, math.pi, 500).expand(2, -1)
        grid = Objects(*(part.expand(-1, 500, *part.shape[2:]) for part in one))._replace(rotation_wxyz=about_z(angle))
        assert (sharp.log_prob_parts(step, CAMERAS, grid)[2].amax(-1) <= world[2][:, 0] + 0.3).all()


def test_parts_add_up_and_candidates_are_independent(guide: StepGuide, images: Tensor) -> None:
    objects = anything(7, 1, 2)
    with torch.no_grad():
        step = looked(guide, images)
        whole = guide.log_prob(step, CAMERAS, objects)
        parts = guide.log_prob_parts(step, CAMERAS, objects)
        assert torch.allclose(sum(parts, torch.zeros(())), whole, atol=1e-4)
        alone = guide.log_prob(step, CAMERAS, Objects(*(part[:, 3:4] for part in objects)))
        assert torch.allclose(alone, whole[:, 3:4], atol=1e-4)
        second = step.take(torch.tensor([1]))
        cameras = Viewpoint(*(part[1:] for part in CAMERAS))
        assert torch.allclose(
            guide.log_prob(second, cameras, Objects(*(part[1:] for part in objects))), whole[1:], atol=1e-4
        )


@pytest.mark.parametrize("feedback", ["marks", "difference"])
def test_the_gradient_reaches_every_parameter(
    perturbed: PriorConfig, make_model: MakeModel, images: Tensor, feedback: str
) -> None:
    guide = make_model(perturbed, feedback=feedback).guide
    extra = 3 if feedback == "difference" else 2
    step = guide.glance(images[:2], torch.rand((2, extra, 32, 32), generator=torch.Generator().manual_seed(0)))
    drawn = guide.draw(step, CAMERAS, 4, torch.Generator().manual_seed(1))
    drawn.kind[:, 0] = 0  # a mug, whose yaw is seen
    assert not any(part.requires_grad for part in drawn)
    cameras = [guide.first_look(images[:2])]
    if feedback == "difference":
        cameras.append(guide.second_look(images[:2], images[2:], CAMERAS))
    camera = sum((look.log_prob(CAMERAS).sum() for look in cameras), torch.zeros(()))
    (guide.log_prob(step, CAMERAS, drawn).sum() + step.presence.sum() + camera).backward()
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name


def test_looks_for_the_camera_are_normalised_and_so_is_the_wider_one(
    guide: StepGuide, images: Tensor, make_model: MakeModel
) -> None:
    """Equidistant on the circle, Gauss-Legendre in the two shares."""
    x, weight = np.polynomial.legendre.leggauss(60)
    angle = torch.linspace(-math.pi, math.pi, 257)[:-1]
    first, second = np.meshgrid((x + 1.0) / 2.0, (x + 1.0) / 2.0, indexing="ij")
    shares = torch.from_numpy(np.stack([first.ravel(), second.ravel()], -1)).float()
    other = make_model(guide.world.prior, feedback="difference").guide
    with torch.no_grad():
        posterior = guide.first_look(images[:2])
        nearer = other.second_look(images[:2], images[2:], CAMERAS)
        assert nearer.azimuth.scale.max() < posterior.azimuth.scale.min()
        for q in (posterior, posterior.widened(), nearer):
            turns = q.expand(256).log_prob_of("azimuth", Viewpoint(angle.expand(2, -1), shares[:256].expand(2, -1, -1)))
            assert turns.exp().mean(-1).numpy() * 2.0 * math.pi == pytest.approx(np.ones(2), abs=1e-3)
            rest = q.expand(3600).log_prob_of("shares", Viewpoint(torch.zeros(2, 3600), shares.expand(2, -1, -1)))
            total = rest.exp().double().numpy() @ np.outer(weight, weight).ravel() / 4.0
            assert total == pytest.approx(np.ones(2), abs=2e-3)


def test_the_second_look_names_what_is_left_of_the_error(
    two: PriorConfig, make_model: MakeModel, images: Tensor
) -> None:
    """It turns with the first look, and starts out within about 0.1 of its answer, though the network is untrained."""
    guide = make_model(two, shake=0.0, feedback="difference").guide
    with torch.no_grad():
        turn, near = 0.8, CAMERAS._replace(shares=torch.full((2, 2), 0.5))
        one = guide.second_look(images[:2], images[2:], near)
        other = guide.second_look(images[:2], images[2:], near._replace(azimuth_rad=near.azimuth_rad + turn))
        grid = torch.linspace(-math.pi, math.pi, 50).expand(2, -1)
        density = one.expand(50).azimuth.log_prob(grid)
        assert torch.allclose(other.expand(50).azimuth.log_prob(wrap(grid + turn)), density, atol=1e-3)
        many = one.expand(4000).sample(torch.Generator().manual_seed(0))
        away = wrap(many.azimuth_rad - near.azimuth_rad[:, None])
        # Components spread evenly over 0.1 on either side: a standard deviation of 0.1 / sqrt(3), and their own.
        assert float(away.std()) == pytest.approx(math.hypot(0.1 / math.sqrt(3.0), 0.09), rel=0.15)
        assert float(many.shares.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(torch.logit(many.shares).std()) == pytest.approx(1.7 / (1.0 + math.exp(2.0)), rel=0.1)
        edge = guide.second_look(images[:2], images[2:], near._replace(shares=torch.tensor([[0.0, 1.0]] * 2)))
        assert edge.shares.loc.isfinite().all(), "also where the first look is at the end of a range"


def test_a_wider_setting_has_the_variance_of_both() -> None:
    wide = _posterior(0.002).widened()
    sample = Viewpoint(*(part[0] for part in wide.expand(20_000).sample(torch.Generator().manual_seed(0))))
    assert float(wrap(sample.azimuth_rad - 3.0).std()) == pytest.approx(0.15, rel=0.03)
    assert torch.logit(sample.shares).std(0).numpy() == pytest.approx([0.15, 0.15], rel=0.03)
    assert float(wrap(sample.azimuth_rad - 3.0).mean()) == pytest.approx(0.0, abs=0.006), "still in the same place"


def _posterior(scale: float) -> ViewpointPosterior:
    from air3d.distributions.circle import WrappedNormalMixture
    from air3d.distributions.interval import LogitNormal

    azimuth = WrappedNormalMixture(torch.zeros(1, 1), torch.full((1, 1), 3.0), torch.full((1, 1), scale))
    return ViewpointPosterior(azimuth, LogitNormal(torch.zeros(1, 2), torch.full((1, 2), scale)))


def test_the_setting_posterior_expands_and_takes(guide: StepGuide, images: Tensor) -> None:
    with torch.no_grad():
        posterior = guide.first_look(images)
        many = posterior.expand(6)
        sample = many.sample(torch.Generator().manual_seed(0))
        assert sample.azimuth_rad.shape == (4, 6) and sample.shares.shape == (4, 6, 2)
        each = many.log_prob(sample)
        for k in range(6):
            one = posterior.log_prob(Viewpoint(sample.azimuth_rad[:, k], sample.shares[:, k]))
            assert torch.allclose(one, each[:, k], atol=1e-5)
        parts = many.log_prob_of("azimuth", sample) + many.log_prob_of("shares", sample)
        assert torch.allclose(parts, each)
        first = posterior.take(2)
        assert torch.allclose(first.log_prob(Viewpoint(*(part[:2, 0] for part in sample))), each[:2, 0], atol=1e-5)
        mode = posterior.mode()
        assert mode.azimuth_rad.shape == (4,) and torch.equal(mode.shares, torch.sigmoid(posterior.shares.loc))
        assert (posterior.azimuth.log_prob(mode.azimuth_rad) >= posterior.azimuth.log_prob(sample.azimuth_rad.T) - 0.3
                ).float().mean() > 0.9  # fmt: skip


def test_the_mean_image_is_subtracted(two: PriorConfig, make_model: MakeModel, images: Tensor) -> None:
    shift = 0.3 * torch.rand((3, 32, 32), generator=torch.Generator().manual_seed(9))
    one, other = make_model(two).guide, make_model(two).guide
    other.mean_image.copy_(shift)
    with torch.no_grad():
        before, after = (
            one.glance(images, torch.zeros(4, 2, 32, 32)),
            other.glance(images + shift, torch.zeros(4, 2, 32, 32)),
        )
        assert torch.allclose(before.presence, after.presence, atol=1e-5)
        assert torch.allclose(before.pictures, after.pictures, atol=1e-6)
        mode = one.first_look(images).azimuth.logits
        assert torch.allclose(mode, other.first_look(images + shift).azimuth.logits, atol=1e-4)
        assert not torch.allclose(mode, one.first_look(images + shift).azimuth.logits, atol=1e-4)


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_cells_of_a_shrunk_guide_tile_the_image(two: PriorConfig, make_model: MakeModel, shrink: int) -> None:
    """Cells 4 pixels wide times the factor, centred in their squares; a place starts within its cell."""
    guide = make_model(two, shake=0.0, size=64, shrink=shrink).guide
    side = 4 * shrink
    middles = [side * i + (side - 1) / 2.0 for i in range(64 // side)]
    assert guide.cells.tolist() == [[x, y] for y in middles for x in middles]
    pictures = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        guide.place_head.weight.zero_()
        step = guide.glance(pictures, torch.zeros(1, guide.kinds, 64, 64))
        viewpoint = Viewpoint(torch.zeros(1), torch.full((1, 2), 0.5))
        place = guide.place(step, guide.view(viewpoint))
    assert torch.equal(place.loc[0], guide.cells)
    assert torch.allclose(place.scale, torch.tensor(0.8 * side / (1.0 + math.exp(-3.0))), atol=0.02)
    with torch.no_grad():
        guide.place_head.bias[1:3] = torch.tensor([0.5, -0.5])
        moved = guide.place(guide.glance(pictures, torch.zeros(1, guide.kinds, 64, 64)), guide.view(viewpoint))
    assert torch.allclose(moved.loc[0] - guide.cells, side * torch.tensor([0.5, -0.5])), "in units of cells"


def test_the_camera_of_a_shrunk_guide_is_read_from_the_averaged_picture(
    two: PriorConfig, make_model: MakeModel
) -> None:
    """As by the same weights from a picture half as large; the first look, and the second beside the empty table."""
    large, small = (make_model(two, size=size, shrink=s, feedback="difference").guide for size, s in ((64, 2), (32, 1)))
    generator = torch.Generator().manual_seed(0)
    pictures, empty, mean = (torch.rand((n, 3, 64, 64), generator=generator) for n in (2, 2, 1))
    large.mean_image.copy_(mean[0])
    small.mean_image.copy_(halved(mean)[0])
    for name, part in small.named_children():
        if name.startswith(("camera", "second")):
            part.load_state_dict(getattr(large, name).state_dict())
    with torch.no_grad():
        one, other = large.first_look(pictures), small.first_look(halved(pictures))
        second, half = (
            guide.second_look(image, table, other.mode())
            for guide, image, table in ((large, pictures, empty), (small, halved(pictures), halved(empty)))
        )
    for a, b in ((one, other), (second, half)):
        for found, wanted in zip((*a.azimuth, *a.shares), (*b.azimuth, *b.shares), strict=True):
            assert torch.allclose(found, wanted, atol=1e-4)


def halved(pictures: Tensor) -> Tensor:
    """Means of 2 x 2 pixels."""
    return pictures.unflatten(-1, (-1, 2)).mean(-1).unflatten(-2, (-1, 2)).mean(-2)


def test_an_untrained_guide_knows_nothing(images: Tensor, make_model: MakeModel) -> None:
    """Camera, kind, yaw and presence start out nearly uniform."""
    model = make_model(tabletop_prior(perturb=True), shake=0.0, azimuth_components=8, yaw_components=16)
    guide, angle = model.guide, torch.linspace(-math.pi, math.pi, 100)
    with torch.no_grad():
        posterior = guide.first_look(images[:1])
        density = posterior.expand(100).azimuth.log_prob(angle[None]).exp() * 2.0 * math.pi
        assert density.numpy() == pytest.approx(np.ones((1, 100)), abs=0.15)
        share = posterior.shares.log_prob(torch.linspace(0.1, 0.9, 9)[:, None].expand(9, 6)).exp()
        assert share.numpy() == pytest.approx(np.ones((9, 6)), abs=0.3)
        step = guide.glance(images[:1], torch.zeros(1, 3, 32, 32))
        assert float(step.presence.sigmoid()) == pytest.approx(0.5, abs=0.05)
        viewpoint = posterior.mode()
        seen = guide.seen(step, torch.tensor([[[16.0, 20.0]]]).expand(1, 100, 2), viewpoint)
        assert guide.kind_logits(seen).softmax(-1).numpy() == pytest.approx(np.full((1, 100, 3), 1 / 3), abs=0.05)
        posterior = guide.pose_head.yaw(guide.named(seen, torch.zeros(1, 100, dtype=torch.int64)))
        yaw = posterior.log_prob(angle[None]).exp() * 2.0 * math.pi
        assert yaw.numpy() == pytest.approx(np.ones((1, 100)), abs=0.15)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"image_size": 22}, "image_size 22"),
        ({"image_size": 8}, "image_size 8"),
        ({"image_size": 2048}, "image_size 2048"),
        ({"widths": (0, 8, 8)}, "widths is"),
        ({"camera_widths": (8, 8, 5000)}, "camera_widths is"),
        ({"camera_code": 0}, "camera_code is 0"),
        ({"head": 0}, "head is 0"),
        ({"window": -3}, "window is -3"),
        ({"glimpse": 9000}, "glimpse is 9000"),
        ({"azimuth_components": 0}, "azimuth_components is 0"),
        ({"yaw_components": 0}, "yaw_components is 0"),
        ({"feedback": "none"}, "use 'difference' or 'marks'"),
    ],
)
def test_bad_sizes_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        StepGuideConfig(**change)
    assert "\n" not in str(caught.value)
