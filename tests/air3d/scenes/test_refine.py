"""Refinement of one object and of whole scenes: never worse, never over its budget, exact where pictures are linear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.catalog import get_kind
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scenes.latents import Objects, SceneLatents, Viewpoint, World
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.refine import RefineConfig, refine

COUNT = 12
TURNS = {"mug", "cube", "cylinder"}  # kinds of the tests whose yaw can be seen


class Counting:
    """Draws by a function, and counts the scenes."""

    def __init__(self, config: RenderConfig, draw: Callable[[SceneBatch], NDArray[np.uint8]]) -> None:
        self.config, self.draw, self.scenes = config, draw, 0

    def render(self, scenes: SceneBatch) -> NDArray[np.uint8]:
        self.scenes += len(scenes)
        return self.draw(scenes)


@dataclass(frozen=True)
class Case:
    """Scenes of a world, and their pictures."""

    world: World
    renderer: Renderer
    truth: SceneBatch
    images: NDArray[np.uint8]

    def counting(self) -> Any:
        return Counting(self.renderer.config, self.renderer.render)

    def numbers(self, b: int) -> int:
        """How many numbers of a scene can be seen: camera, places, yaws of what is not round."""
        kinds = [self.world.prior.kinds[k] for k in self.truth.kind[b] if k >= 0]
        camera = 0 if self.world.azimuth_known else 3
        return camera + 2 * len(kinds) + sum(kind in TURNS for kind in kinds)


def case(prior: PriorConfig, size: int, count: int = COUNT) -> Iterator[Case]:
    with make_renderer(RenderConfig(prior.kinds, prior.table, prior.max_objects, size, size), "raster") as renderer:
        truth = ScenePrior(prior).sample_batch(np.random.default_rng(3), count)
        yield Case(World(prior), renderer, truth, renderer.render(truth))


@pytest.fixture(scope="module")
def one() -> Iterator[Case]:
    """One object, of cube, sphere and cylinder, under a known camera."""
    yield from case(single_prior(), 32)


@pytest.fixture(scope="module")
def table(two: PriorConfig) -> Iterator[Case]:
    """Up to two objects, mugs and bowls, under an unknown camera."""
    yield from case(two, 64)


@pytest.fixture(params=["one", "table"])
def either(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def moved(world: World, scenes: SceneBatch, by: float, seed: int = 0) -> SceneBatch:
    """Wrong by normal noise: 4 mm, 9 degrees of yaw, 0.6 of azimuth, 3 % of the camera's ranges, times `by`."""
    (azimuth, shares), objects = world.from_batch(scenes)
    position, yaw, appearance = objects.place_m, objects.yaw_rad, objects.appearance
    g = torch.Generator().manual_seed(seed)
    place = world.prior.table.place.clamp(position + by * 0.004 * torch.randn(position.shape, generator=g))
    return world.to_batch(SceneLatents(
        Viewpoint(
            azimuth + by * 0.01 * torch.randn(azimuth.shape, generator=g),
            (shares + by * 0.03 * torch.randn(shares.shape, generator=g)).clamp(0.0, 1.0),
        ),
        Objects.upright(
            objects.kind, place, yaw + by * 0.15 * torch.randn(yaw.shape, generator=g),
            (appearance + by * 0.1 * torch.randn(appearance.shape, generator=g)).clamp(0.0, 1.0),
        ),
    ))  # fmt: skip


def error(images: NDArray[np.uint8], pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(np.square((images.astype(float) - pictures) / 255.0).sum((1, 2, 3)))


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs((one - other + np.pi) % (2.0 * np.pi) - np.pi)


def same(one: SceneBatch, other: SceneBatch, tolerance: float) -> None:
    here = one.present
    assert np.array_equal(one.kind, other.kind)
    assert one.position_m[here] == pytest.approx(other.position_m[here], abs=tolerance)
    assert angle(one.yaw_rad, other.yaw_rad)[here].max() < tolerance
    assert angle(one.camera_azimuth_rad, other.camera_azimuth_rad).max() < tolerance
    assert one.camera_elevation_rad == pytest.approx(other.camera_elevation_rad, abs=tolerance)


@pytest.mark.parametrize("method", ["fd", "cma"])
@pytest.mark.parametrize("renders", [1, 5, 10, 50, 200])
def test_it_never_worsens_and_keeps_the_budget(either: Case, method: Any, renders: int) -> None:
    world, images = either.world, either.images
    anywhere = ScenePrior(world.prior).sample_batch(np.random.default_rng(9), COUNT)
    steps = [2 * max(either.numbers(b), 2) + 2 if method == "fd" else 8 for b in range(COUNT)]
    spent = [1 + step * ((renders - 1) // step) for step in steps]  # the start, and whole steps
    for start in (either.truth, moved(world, either.truth, 1.0), anywhere):
        counting = either.counting()
        found = refine(images, start, world, counting, RefineConfig(renders, method))
        if start is not anywhere:
            assert counting.scenes == sum(spent) and found.renders_per_image == max(spent)
        assert found.renders_per_image <= renders and counting.scenes <= COUNT * renders
        pictures = either.renderer.render(found.scenes)
        after = error(images, pictures)
        assert found.squared_error == pytest.approx(after, rel=1e-5, abs=1e-3), "what it says is what was rendered"
        density = stats.norm.logpdf(images / 255.0, pictures / 255.0, 0.3).sum((1, 2, 3))
        assert found.log_likelihood == pytest.approx(density, rel=1e-5, abs=1e-2)
        assert (after <= error(images, either.renderer.render(start)) + 1e-4).all()
        assert np.array_equal(found.scenes.kind, start.kind)
        assert np.linalg.norm(found.scenes.position_m, axis=-1).max() <= world.prior.table.place_radius_m + 1e-9
        if start is either.truth or renders == 1:
            same(found.scenes, start, 1e-8)


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_a_near_answer_becomes_a_nearer_one(either: Case, method: Any) -> None:
    images, start, here = either.images, moved(either.world, either.truth, 1.0), either.truth.present
    few, many = (refine(images, start, either.world, either.renderer, RefineConfig(n, method)) for n in (50, 250))
    before = np.median(error(images, either.renderer.render(start)))
    assert np.median(few.squared_error) < 0.6 * before and np.median(many.squared_error) < 0.25 * before
    wrong, left = (
        np.median(np.linalg.norm(each.position_m - either.truth.position_m, axis=-1)[here])
        for each in (start, many.scenes)
    )
    assert left < (0.4 if method == "fd" else 0.6) * wrong


def test_a_near_scene_becomes_the_right_one(table: Case) -> None:
    """Within a millimetre and less than a tenth of a degree: a fiftieth of a pixel's width on the table."""
    images, truth, start = table.images, table.truth, moved(table.world, table.truth, 0.4)
    found = refine(images, start, table.world, table.renderer, RefineConfig(400)).scenes
    here = truth.present
    before, after = (np.linalg.norm(each.position_m - truth.position_m, axis=-1)[here] for each in (start, found))
    assert np.median(before) > 0.0015 and np.median(after) < 0.001
    mug = here & (truth.kind == 0)
    assert np.degrees(np.median(angle(found.yaw_rad, truth.yaw_rad)[mug])) < 1.5
    azimuth, wrong = (angle(each.camera_azimuth_rad, truth.camera_azimuth_rad) for each in (found, start))
    elevation = np.abs(found.camera_elevation_rad - truth.camera_elevation_rad)
    assert np.degrees(np.median(wrong)) > 0.1
    assert np.degrees(np.median(azimuth)) < 0.08 and np.degrees(np.median(elevation)) < 0.08
    assert np.median(error(images, table.renderer.render(found))) < 0.1 * np.median(
        error(images, table.renderer.render(start))
    )


def test_appearance_and_light_are_polished_too() -> None:
    prior = tabletop_prior(("mug", "bowl"), 1, 1, perturb=True)
    (made,) = case(prior, 64, 8)
    world, truth, images = made.world, made.truth, made.images
    with make_renderer(made.renderer.config, "raster") as renderer:
        start = moved(world, truth, 0.6)
        start = replace(start, light_diffuse=np.clip(start.light_diffuse + 0.03, *prior.light_ranges["diffuse"]))
        found = refine(images, start, world, renderer, RefineConfig(300))
        assert np.median(found.squared_error) < 0.2 * np.median(error(images, renderer.render(start)))
    for name, least in (("colour", 0.6), ("scale", 0.6)):
        before, after = (np.abs(getattr(each, name) - getattr(truth, name)).mean() for each in (start, found.scenes))
        assert after < least * before, name
    assert np.isfinite(ScenePrior(prior).log_prob(found.scenes)).all(), "inside the prior's ranges"


def numbers(scenes: SceneBatch) -> NDArray[np.float64]:
    """What can be seen of scenes of one mug or cube, in units of the first differences, by the camera's own geometry.

    Returns:
        (B, 6): azimuth, elevation, distance, place in the image of 64 pixels, yaw relative to the camera.
    """
    rows, height = [], np.mean([get_kind(name).height_m for name in scenes.kinds]) / 2.0
    for b in range(len(scenes)):
        azimuth, elevation, distance, fovy = (
            float(getattr(scenes, f"camera_{name}")[b])
            for name in ("azimuth_rad", "elevation_rad", "distance_m", "fovy_rad")
        )
        camera = Orbit(azimuth, elevation, distance, (0.0, 0.0, 0.0), fovy)
        (pixel,), _ = camera.sized(64, 64).project([[*scenes.position_m[b, 0, :2], height]])
        yaw = (scenes.yaw_rad[b, 0] - azimuth + np.pi) % (2.0 * np.pi) - np.pi
        rows.append([azimuth / 0.01, elevation / 0.006, distance / 0.005, *(pixel / 0.25), yaw / 0.075])
    return np.array(rows)


@pytest.mark.parametrize("prior", [single_prior(("cube",)), tabletop_prior(("mug",), 1, 1)], ids=["one", "table"])
@pytest.mark.parametrize("samples", [1, 3])
def test_one_step_solves_a_linear_picture(prior: PriorConfig, samples: int) -> None:
    """Levenberg-Marquardt is exact there, but for its damping of three hundredths: so much of the way is left."""
    world, open_numbers = World(prior), 3 if World(prior).azimuth_known else 6
    azimuth = torch.full((5,), prior.camera.azimuth_rad[0] if world.azimuth_known else 0.3)
    middle = world.to_batch(SceneLatents(
        Viewpoint(azimuth, torch.full((5, len(world.shared)), 0.5)),
        Objects.upright(torch.zeros(5, 1, dtype=torch.int64), torch.full((5, 1, 2), 0.03), 0.4 + azimuth[:, None],
                torch.zeros(5, 1, 0)),
    ))  # fmt: skip
    zero = numbers(middle)[:1]
    slope = np.random.default_rng(0).choice([-3.0, 3.0], (6, 64, 64, 3))

    def picture(scenes: SceneBatch) -> NDArray[np.uint8]:
        return np.rint((127.0 + np.tensordot(numbers(scenes) - zero, slope, 1)).clip(0.0, 255.0)).astype(np.uint8)

    linear: Any = Counting(RenderConfig(prior.kinds, prior.table, 1, 64, 64), picture)
    starts = [moved(world, middle, 0.7 + 3 * k, seed=k) for k in range(samples)]
    order = np.arange(5 * samples).reshape(samples, 5).T.ravel()
    config = RefineConfig(samples + (2 * open_numbers + 2) * (2 * samples - 1))
    found = refine(picture(middle), SceneBatch.concatenate(starts)[order], world, linear, config)
    away, left = numbers(starts[0]) - zero, numbers(found.scenes) - zero
    assert np.abs(away).max() < 4.0 and np.abs(away).mean() > 0.15
    if samples == 1:
        assert found.renders_per_image == 1 + 2 * open_numbers + 2, "the start, the derivative, two steps"
        assert left == pytest.approx(0.031 / 1.031 * away, abs=0.1)
    assert np.abs(left).max() < 0.15, "the optimum, from the nearest of all starts"


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_of_several_starts_the_right_one_wins(either: Case, method: Any) -> None:
    """Starts are image-major; here the second of each three has the right kinds and is near."""
    world, truth, images = either.world, either.truth, either.images
    near, far = moved(world, truth, 0.7), moved(world, truth, 15.0)
    colours = np.array([get_kind(name).colour for name in world.prior.kinds])
    kinds = np.where(truth.present, (truth.kind + 1) % len(colours), -1)
    other = replace(truth, kind=kinds, colour=colours[kinds])
    order = np.arange(3 * COUNT).reshape(3, COUNT).T.ravel()
    starts, counting = SceneBatch.concatenate([other, near, far])[order], either.counting()
    found = refine(images, starts, world, counting, RefineConfig(150, method))
    assert counting.scenes <= COUNT * found.renders_per_image <= COUNT * 150
    assert np.array_equal(found.scenes.kind, truth.kind)
    assert (found.squared_error <= error(images, either.renderer.render(near)) + 1e-4).all()


def test_an_empty_table_is_polished_by_its_camera_alone(table: Case) -> None:
    empty = replace(table.truth, kind=np.full_like(table.truth.kind, -1))
    images = table.renderer.render(empty)
    found = refine(images, moved(table.world, empty, 1.0), table.world, table.renderer, RefineConfig(200)).scenes
    assert not found.present.any()
    assert np.degrees(np.median(angle(found.camera_azimuth_rad, table.truth.camera_azimuth_rad))) < 0.1


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_a_yaw_that_cannot_be_seen_turns_with_the_camera_alone(either: Case, method: Any) -> None:
    start = moved(either.world, either.truth, 0.5)
    found = refine(either.images, start, either.world, either.renderer, RefineConfig(100, method)).scenes
    relative = [each.yaw_rad - each.camera_azimuth_rad[:, None] for each in (start, found)]
    names = np.array([*either.world.prior.kinds, "none"])[either.truth.kind]
    unseen = ~np.isin(names, list(TURNS))
    assert unseen.any() and angle(*relative)[unseen].max() < 1e-6
    assert np.median(angle(*relative)[~unseen]) > 0.005
    if either.world.azimuth_known:
        assert angle(found.yaw_rad, start.yaw_rad)[unseen].max() < 1e-8


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_an_object_beyond_the_support_is_placed_at_its_rim(one: Case, method: Any) -> None:
    radius, angles = one.world.prior.table.place_radius_m, np.linspace(0.0, 6.0, COUNT)
    place = np.stack([np.cos(angles), np.sin(angles), 0 * angles], -1)[:, None]
    beyond = replace(one.truth, position_m=1.1 * radius * place)
    start = replace(beyond, position_m=0.97 * radius * place)
    found = refine(one.renderer.render(beyond), start, one.world, one.renderer, RefineConfig(100, method)).scenes
    reached = np.linalg.norm(found.position_m[:, 0], axis=-1)
    assert reached.max() <= radius + 1e-9 and np.median(reached) > 0.995 * radius


@pytest.mark.parametrize("method", ["fd", "cma"])
def test_an_answer_does_not_depend_on_the_other_images(
    either: Case, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, start, config = either.images, moved(either.world, either.truth, 0.5), RefineConfig(60, method)
    whole = refine(images, start, either.world, either.renderer, config)
    monkeypatch.setattr("air3d.scenes.refine._NUMBERS_AT_ONCE", 100_000)
    parts = refine(images, start, either.world, either.renderer, config)
    alone = refine(images[:1], start[:1], either.world, either.renderer, config)
    for found, rows in ((parts, slice(None)), (alone, slice(1))):
        same(found.scenes, whole.scenes[rows], 2e-4)
        assert found.squared_error == pytest.approx(whole.squared_error[rows], rel=0.05, abs=0.05)
    assert parts.renders_per_image == whole.renders_per_image


def test_bad_input_is_refused(one: Case, table: Case) -> None:
    images, truth, world, renderer = one.images, one.truth, one.world, one.renderer
    with pytest.raises(InputError, match="12 scenes are not a whole number of starts for 5 images"):
        refine(images[:5], truth, world, renderer, RefineConfig())
    with pytest.raises(InputError, match="3 renders do not reach 12 starts"):
        refine(images[:1], truth, world, renderer, RefineConfig(3))
    with pytest.raises(InputError, match="12 scenes are not a whole number of starts for 0 images"):
        refine(images[:0], truth, world, renderer, RefineConfig())
    with pytest.raises(InputError, match="0 scenes are not a whole number of starts for 12 images"):
        refine(images, truth[:0], world, renderer, RefineConfig())
    with pytest.raises(InputError, match="uint8"):
        refine(images[:, :, :16], truth, world, renderer, RefineConfig())
    with pytest.raises(InputError, match="the model knows mug, bowl"):
        refine(table.images, replace(table.truth, kinds=("mug", "plate")), table.world, table.renderer, RefineConfig())
    for values, message in (
        ({"renders": 0}, "renders is 0"),
        ({"method": "x"}, "use 'fd' or 'cma'"),
        ({"reach": -1.0}, "reach is -1"),
        ({"seed": -3}, "seed is -3"),
    ):
        bad: dict[str, Any] = values  # type: ignore[assignment]
        with pytest.raises(InputError, match=message):
            RefineConfig(**bad)


def test_errors_are_those_of_the_given_noise(either: Case) -> None:
    start, likelihood = moved(either.world, either.truth, 0.5), Likelihood(0.05, "hyperbolic")
    found = refine(either.images, start, either.world, either.renderer, RefineConfig(20), likelihood)
    gap = (either.renderer.render(found.scenes) / 255.0 - either.images / 255.0).reshape(len(start), -1)
    assert found.squared_error == pytest.approx((likelihood.residual(gap) ** 2).sum(1), rel=1e-3)
    assert found.squared_error != pytest.approx((gap**2).sum(1), rel=1e-3)
    expected = stats.genhyperbolic.logpdf(gap, p=1.0, a=1.0, b=0.0, scale=0.05).sum(1)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-4)
