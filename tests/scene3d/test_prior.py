"""The prior: `sample` and `log_prob` are one distribution, and it is the one that the docstring states."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from air3d.scene3d.batch import ABSENT, SceneBatch, unworn
from air3d.scene3d.camera_prior import CameraPrior
from air3d.scene3d.catalog import CATALOG
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.poses import on_table, yawed
from air3d.scene3d.prior import PERTURBED, Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import MAX_LAMPS, Light, Scene, SceneObject, Table
from air3d.scene3d.support import Rectangle, Support

Fits = Callable[[float, str], None]
Array = NDArray[np.float64]

TURN = 2.0 * math.pi
Z_DRAWS = 200_000  # arrangements behind log_prob's normaliser
FIXED = CameraPrior.fixed(Orbit())
WIDE, TIGHT = Table(0.32, 0.2), Table(0.32, 0.15)
FREE_CAMERA = CameraPrior((-2.0, 1.0), (0.4, 1.1), (0.8, 1.3), (0.6, 0.7), (0.01, 0.0, 0.02))
VARIED = Perturbation(scale=0.2, colour=0.4, light_angle_rad=0.3, light_level=0.5)
CONFIGS = {
    "with repetition": PriorConfig(("mug", "plate"), 0, 2, table=TIGHT, camera=FIXED, gap_m=0.02),
    "without repetition": PriorConfig(("mug", "plate", "glass"), 0, 2, False, table=TIGHT, camera=CameraPrior()),
    "always two": PriorConfig(
        ("mug", "pan"), 2, 2, table=WIDE, camera=FIXED, perturb=Perturbation(scale=0.2), gap_m=0.03
    ),
    "perturbed": PriorConfig(("plate", "cube", "bowl"), 0, 1, table=WIDE, camera=FREE_CAMERA, perturb=VARIED),
}


def nuisance_ranges(config: PriorConfig) -> dict[str, tuple[float, float]]:
    """Ranges of camera and light from the documentation, by the names of SceneBatch."""
    light, p, camera = config.light, config.perturb, config.camera
    return {
        "camera_azimuth_rad": camera.azimuth_rad,
        "camera_elevation_rad": camera.elevation_rad,
        "camera_distance_m": camera.distance_m,
        "camera_fovy_rad": camera.fovy_rad,
        "light_azimuth_rad": (light.azimuth_rad - p.light_angle_rad, light.azimuth_rad + p.light_angle_rad),
        "light_elevation_rad": (light.elevation_rad - p.light_angle_rad, light.elevation_rad + p.light_angle_rad),
        "light_diffuse": (light.diffuse * (1 - p.light_level), light.diffuse * (1 + p.light_level)),
        "light_ambient": (light.ambient * (1 - p.light_level), light.ambient * (1 + p.light_level)),
    }


def colour_range(config: PriorConfig, kind: str, channel: int) -> tuple[float, float]:
    middle, half = CATALOG[kind].colour[channel], config.perturb.colour
    return max(middle - half, 0.0), min(middle + half, 1.0)


def proposal(config: PriorConfig, rng: np.random.Generator, size: int) -> tuple[SceneBatch, Array]:
    """Scenes from a box around the prior's support, wider in every dimension, and their log-density."""
    slots, p, side = max(config.max_objects, 1), config.perturb, config.table.place_radius_m
    count = rng.integers(0, slots + 1, size)
    present = np.arange(slots) < count[:, None]
    kind = np.where(present, rng.integers(len(config.kinds), size=(size, slots)), ABSENT)
    log_u = np.full(size, -math.log(slots + 1)) - count * math.log(len(config.kinds) * (2 * side) ** 2 * TURN)
    shape = (size, slots)
    arrays: dict[str, Any] = {
        "position_m": on_table(rng.uniform(-side, side, (*shape, 2))),
        "rotation_wxyz": yawed(rng.uniform(0, TURN, shape)),
    }
    arrays["scale"] = 1.0 + 1.2 * p.scale * rng.uniform(-1, 1, shape)
    log_u -= count * math.log(2.4 * p.scale) if p.scale else 0.0
    catalog = np.array([CATALOG[name].colour for name in config.kinds] + [(0.0, 0.0, 0.0)])
    arrays["colour"] = rng.random((*shape, 3)) if p.colour else catalog[kind]  # density 1 on the unit cube
    for name, (low, high) in nuisance_ranges(config).items():
        margin = 0.1 * (high - low) if high - low < 6.0 else 0.0
        arrays[name] = rng.uniform(low - margin, high + margin, size) if high > low else np.full(size, low)
        log_u -= math.log(high - low + 2 * margin) if high > low else 0.0
    arrays["camera_look_at_m"] = np.tile(config.camera.look_at_m, (size, 1))
    arrays |= {"camera_roll_rad": np.zeros(size), "camera_shift": np.zeros((size, 2))}
    arrays["camera_fx_over_fy"] = np.ones(size)
    arrays |= {"lamps": np.zeros((size, MAX_LAMPS, 3)), **unworn(size, slots)}
    return SceneBatch(config.kinds, config.table, kind, **arrays), log_u


def brute_free(kinds: tuple[str, ...], position: Array, yaw: Array, scale: float, gap: float) -> NDArray[np.bool_]:
    """Overlap once more, by complex numbers and loops: True where all discs of all pairs are `gap` apart."""
    free = np.ones(len(yaw), dtype=bool)
    for a, b in itertools.combinations(range(len(kinds)), 2):
        for c, d in itertools.product(CATALOG[kinds[a]].footprint, CATALOG[kinds[b]].footprint):
            first = position[:, a] @ [1, 1j] + scale * (c.x_m + 1j * c.y_m) * np.exp(1j * yaw[:, a])
            second = position[:, b] @ [1, 1j] + scale * (d.x_m + 1j * d.y_m) * np.exp(1j * yaw[:, b])
            free &= np.abs(first - second) >= scale * (c.radius_m + d.radius_m) + gap
    return free


def uniform_arrangements(rng: np.random.Generator, size: int, objects: int, radius: float) -> tuple[Array, Array]:
    """Uniform on the disc by rejection from the square."""
    points = rng.uniform(-radius, radius, (2 * size * objects, 2))
    inside = points[np.hypot(points[:, 0], points[:, 1]) <= radius][: size * objects]
    return inside.reshape(size, objects, 2), rng.uniform(-np.pi, np.pi, (size, objects))


def uniformity(values: Array, low: float, high: float) -> float:
    """KS p-value; all values must lie in the range."""
    assert low <= values.min() and values.max() <= high
    return float(stats.kstest((values - low) / (high - low), "uniform").pvalue)


@pytest.mark.parametrize("name", CONFIGS)
def test_log_prob_is_normalised(name: str, fits: Fits) -> None:
    """E_u[p / u] = 1 for a proposal u that covers the support."""
    config = CONFIGS[name]
    batch, log_u = proposal(config, np.random.default_rng(10), 150_000)
    weight = np.exp(ScenePrior(config).log_prob(batch) - log_u)
    assert 0.05 < np.mean(weight > 0.0) < 0.95
    # The second term is the error of log_prob's own normaliser, whose free probability is above 0.05 here.
    error = math.sqrt(weight.var() / len(weight) + (0.95 / 0.05 / Z_DRAWS if config.max_objects > 1 else 0.0))
    assert error < 0.02
    fits(2 * stats.norm.sf(abs(weight.mean() - 1) / error), f"{name}: integral of the density is {weight.mean():.4f}")


@pytest.mark.parametrize("name", CONFIGS)
def test_samples_have_the_density_of_one_object_that_volumes_give(name: str) -> None:
    config = replace(CONFIGS[name], min_objects=1, max_objects=1)
    prior, area = ScenePrior(config), math.pi * config.table.place_radius_m**2
    batch = prior.sample_batch(np.random.default_rng(11), 40)
    widths = [high - low for low, high in nuisance_ranges(config).values() if high > low]
    widths += [2 * config.perturb.scale] if config.perturb.scale else []
    volume = {kind: len(config.kinds) * area * TURN * math.prod(widths) for kind in config.kinds}
    if config.perturb.colour:
        for kind, channel in itertools.product(config.kinds, range(3)):
            volume[kind] *= float(np.diff(colour_range(config, kind, channel))[0])
    expected = [-math.log(volume[config.kinds[k]]) for k in batch.kind[:, 0]]
    np.testing.assert_allclose(prior.log_prob(batch), expected, rtol=1e-9)


def test_mean_reciprocal_density_is_the_volume_of_the_support(fits: Fits) -> None:
    """E_p[1 / p] = volume, over 0, 1 and 2 objects; the volume by brute force."""
    config, rng = CONFIGS["with repetition"], np.random.default_rng(12)
    one, free_size = math.pi * 0.15**2 * TURN, 200_000
    volume, variance = 1.0 + 2 * one, 0.0
    for kinds in itertools.product(config.kinds, repeat=2):
        free = brute_free(kinds, *uniform_arrangements(rng, free_size, 2, 0.15), 1.0, config.gap_m)
        volume += one**2 * free.mean()
        variance += one**4 * free.var() * (1 / free_size + 1 / Z_DRAWS)
    prior = ScenePrior(config)
    reciprocal = np.exp(-prior.log_prob(prior.sample_batch(rng, 8000)))
    error = math.sqrt(reciprocal.var() / 8000 + 4 * variance)
    assert error < 0.02 * volume
    fits(2 * stats.norm.sf(abs(reciprocal.mean() - volume) / error), "volume of the support")


@pytest.mark.parametrize("name", ["with repetition", "without repetition"])
def test_counts_and_kinds(name: str, fits: Fits) -> None:
    """P(n, kinds) = 1/3 times one over the number of ordered choices; overlap does not favour small kinds."""
    config = CONFIGS[name]
    batch = ScenePrior(config).sample_batch(np.random.default_rng(13), 4000)
    choose = itertools.product if config.repeat else itertools.permutations
    expected: dict[tuple[int, ...], float] = {}
    for n in range(3):
        options = list(choose(range(len(config.kinds)), **({"repeat": n} if config.repeat else {"r": n})))
        expected |= {tuple(option) + (ABSENT,) * (2 - n): 4000 / 3 / len(options) for option in options}
    found = {cell: int((batch.kind == cell).all(axis=1).sum()) for cell in expected}
    assert sum(found.values()) == 4000
    fits(stats.chisquare(list(found.values()), list(expected.values())).pvalue, f"{name}: counts and kinds")


def test_every_continuous_marginal_is_uniform(fits: Fits) -> None:
    config = PriorConfig(("plate", "cube", "bowl"), 1, 2, table=WIDE, camera=FREE_CAMERA, perturb=VARIED)
    batch = ScenePrior(config).sample_batch(np.random.default_rng(14), 4000)
    for name, (low, high) in nuisance_ranges(config).items():
        fits(uniformity(getattr(batch, name), low, high), name)
    x, y = batch.position_m[..., 0], batch.position_m[..., 1]
    lone = ~batch.present[:, 1]
    fits(uniformity((x**2 + y**2)[lone, 0], 0.0, WIDE.place_radius_m**2), "radius squared of a lone object")
    # Turning the whole arrangement changes nothing, so these stay uniform with neighbours.
    fits(uniformity(np.arctan2(y, x)[batch.present], -math.pi, math.pi), "polar angle")
    fits(uniformity(batch.yaw_rad[:, 0], -math.pi, math.pi), "yaw of the first")
    fits(uniformity(batch.yaw_rad[~lone, 1], -math.pi, math.pi), "yaw of the second")
    fits(uniformity(batch.scale[:, 0], 0.8, 1.2), "scale")
    for channel in range(3):
        spans = np.array([colour_range(config, kind, channel) for kind in config.kinds])[batch.kind[:, 0]]
        share = (batch.colour[:, 0, channel] - spans[:, 0]) / (spans[:, 1] - spans[:, 0])
        fits(uniformity(share, 0.0, 1.0), f"colour channel {channel}")
    two = batch[~lone]
    columns = [two.scale[:, 0], two.scale[:, 1], two.colour[:, 0, 0], two.colour[:, 1, 0], two.camera_azimuth_rad]
    columns += [two.camera_elevation_rad, two.light_diffuse, two.yaw_rad[:, 0], two.yaw_rad[:, 1]]
    worst = min(stats.spearmanr(a, b).pvalue for a, b in itertools.combinations(columns[:2] + columns[4:], 2))
    fits(1.0 - (1.0 - worst) ** 21, "independence of 7 variables, 21 pairs")


@pytest.mark.parametrize("kinds", [("mug",), ("pan",)])
def test_two_objects_are_the_unconstrained_two_given_no_overlap(kinds: tuple[str], fits: Fits) -> None:
    config = PriorConfig(kinds, 2, 2, camera=FIXED, table=Table(0.4, 0.22), gap_m=0.01)
    rng = np.random.default_rng(15)
    batch = ScenePrior(config).sample_batch(rng, 3000)
    position, yaw = uniform_arrangements(rng, 40_000, 2, 0.22)
    free = brute_free(kinds * 2, position, yaw, 1.0, 0.01)
    assert free.sum() > 2000 and brute_free(kinds * 2, batch.position_m[..., :2], batch.yaw_rad, 1.0, 0.01).all()

    def features(position: Array, yaw: Array) -> dict[str, Array]:
        towards = (position[:, 1] - position[:, 0]) @ [1, 1j]
        return {
            "distance": np.abs(towards),
            "handle towards the other": np.cos(yaw[:, 0] - np.angle(towards)),
            "handle of the other": np.cos(yaw[:, 1] - np.angle(-towards)),
            "radius": np.hypot(*position[:, 0].T),
        }

    expected = features(position[free], yaw[free])
    for what, values in features(batch.position_m[..., :2], batch.yaw_rad).items():
        fits(stats.ks_2samp(values, expected[what]).pvalue, f"{kinds[0]}: {what}")


SUPPORT = PriorConfig(("mug", "plate"), 1, 2, False, table=WIDE, camera=FREE_CAMERA, perturb=VARIED)
INSIDE = Scene(
    (
        SceneObject.upright("mug", 0.1, 0.1, 0.5, colour=(0.7, 0.1, 0.1)),
        SceneObject.upright("plate", -0.1, -0.1, colour=(0.9, 0.9, 0.9)),
    ),
    Orbit(0.0, 0.5, 1.0, FREE_CAMERA.look_at_m, 0.65),
    WIDE,
)
PLACE, SECOND = INSIDE.objects[0].position_m, INSIDE.objects[1]
LONE = replace(INSIDE, objects=INSIDE.objects[:1])


def log_prob(*scenes: Scene, config: PriorConfig = SUPPORT) -> Array:
    return ScenePrior(config).log_prob(SceneBatch.from_scenes(scenes, config.kinds))


def lone(**changes: Any) -> Scene:
    return replace(LONE, objects=(replace(LONE.objects[0], **changes),))


OUTSIDE = {
    "overlap": replace(INSIDE, objects=(INSIDE.objects[0], replace(SECOND, position_m=(0.0, 0.0, 0.0)))),
    "off the disc": lone(position_m=(0.2, 0.001, 0.0)),
    "lifted": lone(position_m=(*PLACE[:2], 2e-6)),
    "sunk": lone(position_m=(*PLACE[:2], -2e-6)),
    "tilted": lone(rotation_wxyz=(1.0, 1e-6, 0.0, 0.0)),
    "upside down": lone(rotation_wxyz=(0.0, 0.6, 0.8, 0.0)),
    "too few": replace(INSIDE, objects=()),
    "too many": replace(
        INSIDE, objects=(*INSIDE.objects, SceneObject.upright("mug", 0.15, -0.12, colour=(0.7, 0.1, 0.1)))
    ),
    "repeated": replace(INSIDE, objects=(INSIDE.objects[0], replace(INSIDE.objects[0], position_m=(-0.1, -0.1, 0.0)))),
    "small": lone(scale=0.79),
    "large": lone(scale=1.21),
    "red": lone(colour=(0.29, 0.1, 0.1)),
    "blue": lone(colour=(0.7, 0.1, 0.5)),
    "look-at": replace(LONE, camera=replace(LONE.camera, look_at_m=(0.01, 0.0, 0.021))),
} | {
    f"{name} {value:.3f}": replace(LONE, **{part: replace(getattr(LONE, part), **{field: value})})
    for name, (low, high) in nuisance_ranges(SUPPORT).items()
    for part, _, field in [name.partition("_")]
    for value in (low - 1e-6, high + 1e-6)
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_nothing_outside_the_support_has_density(what: str) -> None:
    assert log_prob(OUTSIDE[what])[0] == -math.inf
    # Alone and among scenes inside, which keep their own.
    np.testing.assert_array_equal(np.isfinite(log_prob(INSIDE, OUTSIDE[what], LONE)), [True, False, True])


def test_order_padding_and_full_turns_do_not_matter() -> None:
    expected = log_prob(INSIDE)[0]
    assert np.isfinite(expected)
    turned = replace(INSIDE, camera=replace(INSIDE.camera, azimuth_rad=2 * TURN))
    packed = SceneBatch.from_scenes([INSIDE], SUPPORT.kinds)
    spun = replace(packed, rotation_wxyz=-packed.rotation_wxyz)
    assert ScenePrior(SUPPORT).log_prob(spun)[0] == pytest.approx(expected, abs=1e-12)
    for same in (replace(INSIDE, objects=INSIDE.objects[::-1]), turned):
        assert log_prob(same)[0] == pytest.approx(expected, abs=1e-12)
    wide = SceneBatch.from_scenes([INSIDE], SUPPORT.kinds, 5)
    holes = np.array([3, 0, 4, 2, 1])  # objects in the 2nd and 5th slot
    arrays = {
        name: getattr(wide, name)[:, holes] for name in ("kind", "position_m", "rotation_wxyz", "scale", "colour")
    }
    for name in ("position_m", "rotation_wxyz", "scale", "colour"):
        arrays[name] = np.where(arrays["kind"].reshape(1, 5, *[1] * (arrays[name].ndim - 2)) < 0, np.nan, arrays[name])
    assert ScenePrior(SUPPORT).log_prob(replace(wide, **arrays))[0] == pytest.approx(expected, abs=1e-12)


def test_a_full_circle_of_azimuths_has_no_seam() -> None:
    config = PriorConfig(("mug",), 0, 0, table=WIDE, camera=replace(FREE_CAMERA, azimuth_rad=(-math.pi, math.pi)))
    angles = (-math.pi, math.pi, 0.0, 3 * math.pi, -9.0, 50.0)
    scenes = [Scene((), replace(INSIDE.camera, azimuth_rad=angle), WIDE) for angle in angles]
    ranges = nuisance_ranges(config)
    expected = -math.log(TURN) - sum(math.log(b - a) for n, (a, b) in ranges.items() if a < b and "azimuth" not in n)
    np.testing.assert_allclose(log_prob(*scenes, config=config), expected)


def test_the_impossible_has_no_density_rather_than_an_infinite_one() -> None:
    # Only plates at opposite ends fit, to a hair: none of the normaliser's arrangements is free.
    config = PriorConfig(("plate",), 2, 2, table=Table(0.3, 0.10201), camera=FIXED)
    ends = Scene(
        (SceneObject.upright("plate", 0.10201, 0.0), SceneObject.upright("plate", -0.10201, 0.0)), table=config.table
    )
    assert log_prob(ends, config=config)[0] == -math.inf


def test_batches_of_another_prior_are_refused() -> None:
    for other in (
        SceneBatch.from_scenes([INSIDE], ("plate", "mug")),
        SceneBatch.from_scenes([replace(INSIDE, table=TIGHT)], SUPPORT.kinds),
    ):
        with pytest.raises(InputError, match="other kinds or another table"):
            ScenePrior(SUPPORT).log_prob(other)
    assert ScenePrior(SUPPORT).log_prob(SceneBatch.from_scenes([INSIDE], SUPPORT.kinds)[:0]).shape == (0,)


def test_a_seed_makes_a_scene_and_zero_is_a_seed() -> None:
    prior = ScenePrior(CONFIGS["perturbed"])
    scenes = [prior.sample(np.random.default_rng(seed)) for seed in range(20)]
    assert scenes == [prior.sample(np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(scenes)) == 20
    rng = np.random.default_rng(0)
    one_by_one = [prior.sample(rng) for _ in range(5)]
    assert prior.sample_batch(np.random.default_rng(0), 5).to_scenes() == one_by_one
    assert one_by_one[0] == scenes[0]


def test_fixing_one_range_leaves_the_others_draws_alone() -> None:
    config = PriorConfig(("mug",), 2, 2, perturb=PERTURBED)
    still = replace(config, camera=replace(config.camera, azimuth_rad=(0.5, 0.5)))
    for seed in range(5):
        a, b = (ScenePrior(c).sample(np.random.default_rng(seed)) for c in (config, still))
        assert (a.objects, a.light) == (b.objects, b.light)
        assert replace(a.camera, azimuth_rad=0.5) == b.camera


def test_what_does_not_fit_is_refused_in_bounded_time() -> None:
    crowded = ScenePrior(PriorConfig(("pan",), 8, 8, max_tries=500))
    with pytest.raises(InputError, match=r"could not place 8 objects .*in 500 tries; use fewer or smaller objects"):
        crowded.sample(np.random.default_rng(0))


def test_variation_stays_within_what_lights_and_colours_may_be() -> None:
    bright = Light(elevation_rad=math.pi / 2, diffuse=2.0, ambient=1.9)
    prior = ScenePrior(PriorConfig(("plate",), 1, 1, light=bright, perturb=Perturbation(0.5, 1.0, 0.6, 0.9)))
    batch = prior.sample_batch(np.random.default_rng(0), 200)
    assert np.isfinite(prior.log_prob(batch)).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kinds": ()}, "kinds is empty"),
        ({"kinds": ("mug", "mug")}, "names one twice"),
        ({"kinds": ("mugg",)}, "did you mean 'mug'"),
        ({"min_objects": -1}, "objects from -1 to 3"),
        ({"min_objects": 4}, "objects from 4 to 3"),
        ({"max_objects": 17}, "objects from 0 to 17"),
        ({"repeat": False, "max_objects": 4}, "4 objects without repetition need as many kinds; only 3 given"),
        ({"gap_m": -0.1}, "gap_m is -0.1"),
        ({"max_tries": 0}, "max_tries is 0"),
    ],
)
def test_priors_that_mean_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PriorConfig(**changes)


@pytest.mark.parametrize("span", [(1.0, 0.5), (0.5,), (0.5, math.nan), (0.5, 100.0)])
def test_camera_ranges_that_mean_nothing(span: Any) -> None:
    for name in ("elevation_rad", "fovy_rad"):
        with pytest.raises(InputError, match=name):
            CameraPrior(**{name: span})
    with pytest.raises(InputError, match="more than a full turn"):
        CameraPrior(azimuth_rad=(-math.pi, 3.5))
    with pytest.raises(InputError, match=r"perturbation: scale is 0\.6"):
        Perturbation(scale=0.6)


class Drawer(Table):
    """A table whose objects stand on a rectangle."""

    @property
    def place(self) -> Support:
        return Rectangle(0.25, 0.1)


def test_a_prior_draws_on_whatever_support_its_table_has(fits: Fits) -> None:
    prior = ScenePrior(PriorConfig(("mug", "cube"), 0, 1, table=Drawer(), camera=FIXED))
    batch = prior.sample_batch(np.random.default_rng(0), 3000)
    x, y, _ = batch.position_m[batch.present].T
    fits(uniformity(x, -0.25, 0.25), "x on a rectangle")
    fits(uniformity(y, -0.1, 0.1), "y on a rectangle")
    density = np.where(batch.present[:, 0], math.log(1 / (2 * 0.5 * 0.2 * TURN)), 0.0) - math.log(2)
    assert prior.log_prob(batch) == pytest.approx(density)
    moved = replace(batch, position_m=batch.position_m * 0 + (0.101, 0.101, 0.0))
    assert (np.isfinite(prior.log_prob(moved)) == ~batch.present[:, 0]).all()
