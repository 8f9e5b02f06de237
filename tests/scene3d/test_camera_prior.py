"""Priors over cameras: draws and densities agree, and what they can say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import kstest
from scipy.stats import uniform as uniform_law

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.camera import Camera
from air3d.scene3d.camera_prior import CameraBox, CameraBoxes, CameraPrior
from air3d.scene3d.config_json import config_from_dict, config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.orbit import Orbit
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.ranges import uniform
from air3d.scene3d.scene import Scene
from tests.conftest import Fits

TURN = 2.0 * math.pi
WIDE = CameraPrior(
    azimuth_rad=(-2.0, 1.0),
    elevation_rad=(0.4, 1.1),
    distance_m=(0.8, 1.3),
    fovy_rad=(0.6, 0.7),
    look_at_m=(0.01, 0.0, 0.02),
    roll_rad=(-0.2, 0.3),
    aim_m=(0.05, 0.1),
    shift_right=(-0.1, 0.2),
    shift_down=(0.05, 0.05),
    fx_over_fy=1.1,
)
BOX = CameraBox(
    eye_m=(0.0, -1.0, 0.8),
    eye_spread_m=(0.2, 0.1, 0.05),
    look_at_m=(0.02, 0.0, 0.0),
    look_at_spread_m=(0.06, 0.04, 0.0),
    roll_rad=(-0.2, 0.2),
    fovy_rad=(0.6, 0.8),
)
MIXTURE = CameraBoxes((BOX, replace(BOX, eye_m=(0.1, -1.0, 0.8), roll_rad=(-0.1, 0.3))))


def uniformity(values: NDArray[np.float64], low: float, high: float) -> float:
    return float(kstest(values, uniform_law(low, high - low).cdf).pvalue)


def draw(prior: CameraPrior | CameraBoxes | CameraBox, count: int, seed: int = 0) -> SceneBatch:
    rng = np.random.default_rng(seed)
    return packed(*(prior.sample(rng) for _ in range(count)))


def packed(*orbits: Orbit) -> SceneBatch:
    return SceneBatch.from_scenes([Scene((), orbit) for orbit in orbits])


def numbers(batch: SceneBatch, prior: CameraPrior | CameraBoxes) -> NDArray[np.float64]:
    """The numbers that a density is over, (B, 9): of orbits, or with the eye in place of the first three."""
    eye = batch.cameras(1, 1).frame[:, :3, 3]
    angles = np.stack([batch.camera_azimuth_rad, batch.camera_elevation_rad, batch.camera_distance_m], axis=1)
    first = eye if isinstance(prior, CameraBoxes) else angles
    rest = [batch.camera_roll_rad, batch.camera_fovy_rad, batch.camera_shift[:, 0]]
    return np.column_stack([first, batch.camera_look_at_m, *rest])


def around(batch: SceneBatch, prior: CameraPrior | CameraBoxes, seed: int) -> tuple[SceneBatch, float]:
    """Cameras from the box around those of a batch, a little wider, and the log of its volume."""
    found = numbers(batch, prior)
    low, high = found.min(axis=0), found.max(axis=0)
    margin = np.where(high - low > 1e-6, 0.05 * (high - low), 0.0)
    low, high = low - margin, high + margin
    fixed = margin == 0.0
    values = np.random.default_rng(seed).uniform(low, high, found.shape)
    values[:, fixed] = found[0, fixed]
    orbits = []
    for (a, b, c, x, y, z, roll, fovy, right), base in zip(values.tolist(), batch, strict=True):
        if isinstance(prior, CameraBoxes):
            way = np.array([a - x, b - y, c - z])
            c = float(np.linalg.norm(way))
            a, b = math.atan2(way[1], way[0]), math.asin(way[2] / c)
        _, down = base.camera.shift
        orbits.append(Orbit(a, b, c, (x, y, z), fovy, roll, (right, down), base.camera.fx_over_fy))
    return packed(*orbits), float(np.log((high - low)[~fixed]).sum())


@pytest.mark.parametrize("prior", [WIDE, CameraBoxes((BOX,)), MIXTURE], ids=["orbits", "box", "mixture"])
def test_the_density_integrates_to_one(prior: CameraPrior | CameraBoxes, fits: Fits) -> None:
    """By uniform draws from a larger box: the mean of density times its volume is 1."""
    batch = draw(prior, 8000)
    assert np.isfinite(prior.log_prob(batch)).all()
    proposed, log_volume = around(batch, prior, 1)
    weights = np.exp(prior.log_prob(proposed) + log_volume)
    assert (weights == 0.0).any() and (weights > 0.0).any()
    z = (weights.mean() - 1.0) / (weights.std() / math.sqrt(len(weights)))
    fits(math.erfc(abs(z) / math.sqrt(2.0)), "total mass")


def test_the_density_of_orbits_by_hand() -> None:
    """A constant: one over the product of all widths."""
    widths = [3.0, 0.7, 0.5, 0.1, 0.5, 0.1, 0.2, 0.3]
    batch = draw(WIDE, 20)
    np.testing.assert_allclose(WIDE.log_prob(batch), -np.log(widths).sum())
    for name, value in (
        ("camera_roll_rad", 0.31),
        ("camera_shift", (0.0, 0.06)),
        ("camera_look_at_m", (0.0, 0.0, 0.021)),
        ("camera_look_at_m", (0.0, 0.11, 0.02)),
        ("camera_fx_over_fy", 1.0),
    ):
        changed = np.broadcast_to(value, getattr(batch, name).shape)
        assert (WIDE.log_prob(replace(batch, **{name: np.array(changed)})) == -np.inf).all(), name
    roll, azimuth = batch.camera_roll_rad + TURN, batch.camera_azimuth_rad - TURN
    turned = replace(batch, camera_roll_rad=roll, camera_azimuth_rad=azimuth)
    np.testing.assert_allclose(WIDE.log_prob(turned), WIDE.log_prob(batch))


def test_the_density_of_boxes_by_hand() -> None:
    widths = [0.4, 0.2, 0.1, 0.12, 0.08, 0.4, 0.2]
    batch = draw(BOX, 20)
    np.testing.assert_allclose(BOX.log_prob(batch), -np.log(widths).sum())
    # The second box begins at eyes with x = -0.1, and its rolls at -0.1.
    both = (batch.cameras(1, 1).frame[:, 0, 3] > -0.1) & (batch.camera_roll_rad > -0.1)
    assert 0 < both.sum() < 20
    expected = -np.log(widths).sum() - np.log(np.where(both, 1.0, 2.0))
    np.testing.assert_allclose(MIXTURE.log_prob(batch), expected)


def test_draws_are_uniform(fits: Fits) -> None:
    batch = draw(WIDE, 3000)
    for axis, half in enumerate(WIDE.aim_m):
        middle = WIDE.look_at_m[axis]
        fits(uniformity(batch.camera_look_at_m[:, axis], middle - half, middle + half), f"aim {axis}")
    fits(uniformity(batch.camera_roll_rad, *WIDE.roll_rad), "roll")
    batch = draw(BOX, 3000)
    eye = batch.cameras(1, 1).frame[:, :3, 3]
    for axis, half in enumerate(BOX.eye_spread_m):
        fits(uniformity(eye[:, axis], BOX.eye_m[axis] - half, BOX.eye_m[axis] + half), f"eye {axis}")
    fits(uniformity(batch.camera_look_at_m[:, 1], -0.04, 0.04), "look-at y")
    fits(uniformity(batch.camera_fovy_rad, *BOX.fovy_rad), "field of view")


@pytest.mark.parametrize(
    "beside_deg, roll_deg", [(0.0, 0.0), (3.0, 0.0), (-3.0, 0.0), (0.0, 8.0), (0.0, -8.0), (2.0, 5.0)]
)
def test_a_camera_aimed_beside_the_middle_or_rolled_is_possible_if_the_prior_says_so(
    beside_deg: float, roll_deg: float
) -> None:
    """Any camera becomes an orbit through the table's plane, and the prior is asked about that."""
    level = Orbit(0.3, math.radians(45.0), 1.01).sized(64, 64)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("yz", [beside_deg, roll_deg], degrees=True).as_matrix()
    camera = Camera(level.frame @ turn, level.matrix, 64, 64)
    batch = packed(Orbit.of(camera, plane_z_m=0.0))
    assert batch.camera_look_at_m[0, 2] == pytest.approx(0.0, abs=1e-12)
    says = tabletop_prior(camera_roll_rad=math.radians(10.0), camera_aim_rad=math.radians(4.0)).camera
    assert np.isfinite(says.log_prob(batch)).all()
    # Azimuth, elevation, distance, roll, and how far beside the middle at most, which is d tan(4 degrees).
    far = 1.01 * math.tan(math.radians(4.0))
    widths = [TURN, math.radians(40.0), 0.08, math.radians(20.0), 2 * far, 2 * far]
    assert says.log_prob(batch) == pytest.approx(-np.log(widths).sum())
    assert np.isfinite(tabletop_prior().camera.log_prob(batch)).all() == (beside_deg == roll_deg == 0.0)
    boxes = CameraBoxes((CameraBox.around(Orbit(0.3, math.radians(45.0), 1.01), (0.01,) * 3, 0.08, 0.2),))
    # Of the boxes, whose points are not in a plane, one at the middle's distance.
    assert np.isfinite(boxes.log_prob(packed(Orbit.of(camera, distance_m=1.01)))).all()


def test_old_priors_draw_what_they_drew() -> None:
    """Four numbers a camera, in this order, whatever is fixed."""
    for prior in (CameraPrior(), CameraPrior.fixed(Orbit())):
        rng, again = np.random.default_rng(5), np.random.default_rng(5)
        for _ in range(3):
            orbit = prior.sample(rng)
            spans = (prior.azimuth_rad, prior.elevation_rad, prior.distance_m, prior.fovy_rad)
            azimuth, elevation, distance, fovy = [uniform(again, span) for span in spans]
            assert orbit == Orbit(azimuth, elevation, distance, prior.look_at_m, fovy)
        assert rng.random() == again.random()
    assert set(config_to_dict(tabletop_prior())["camera"]) == {
        "azimuth_rad", "elevation_rad", "distance_m", "fovy_rad", "look_at_m"
    }  # fmt: skip


@pytest.mark.parametrize("camera", [CameraPrior(), WIDE, CameraBoxes((BOX,)), MIXTURE], ids=lambda c: type(c).__name__)
def test_priors_come_back_from_json(camera: CameraPrior | CameraBoxes) -> None:
    prior = PriorConfig(camera=camera)
    assert config_from_dict(PriorConfig, config_to_dict(prior), "prior") == prior
    assert np.isfinite(ScenePrior(prior).log_prob(ScenePrior(prior).sample_batch(np.random.default_rng(0), 3))).all()


def test_damaged_cameras_are_named() -> None:
    data = config_to_dict(PriorConfig(camera=MIXTURE))
    for change, words in (
        ({"boxes": []}, "give a list of CameraBox"),
        ({"boxes": [{}]}, "'eye_m' is missing"),
        ({"boxes": 3}, "must be a list"),
        ({"fovy_rad": 1}, "is missing"),
        (None, "expected a JSON object"),
    ):
        with pytest.raises(InputError, match=words):
            config_from_dict(PriorConfig, data | {"camera": change}, "prior")


def test_the_middle_and_the_fixed() -> None:
    odd = Orbit(0.3, 0.4, 0.9, (0.1, 0.2, 0.3), 0.6, 0.2, (0.1, -0.2), 1.5)
    prior = CameraPrior.fixed(odd)
    assert prior.middle() == prior.sample(np.random.default_rng(0)) == odd
    assert not prior.straight and not CameraPrior(aim_m=(0.0, 0.1)).straight and CameraPrior().straight
    assert prior.lens == ((0.6, 0.6), (0.1, 0.1), (-0.2, -0.2), 1.5)
    assert WIDE.middle().look_at_m == WIDE.look_at_m and WIDE.middle().roll_rad == pytest.approx(0.05)
    box = CameraBox.around(odd, roll_rad=0.3)
    assert box.middle().sized(64, 48).frame == pytest.approx(odd.sized(64, 48).frame)
    assert box.middle().sized(64, 48).matrix == pytest.approx(odd.sized(64, 48).matrix)
    assert box.roll_rad == pytest.approx((-0.1, 0.5)) and CameraBoxes((box,)).middle() == box.middle()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: CameraPrior(roll_rad=(0.0, 7.0)), "roll_rad spans more than a full turn"),
        (lambda: CameraPrior(roll_rad=(0.1, 0.0)), "roll_rad is"),
        (lambda: CameraPrior(aim_m=(0.1, -0.1)), "aim_m is -0.1"),
        (lambda: CameraPrior(shift_down=(0.0, 101.0)), "shift is 101.0"),
        (lambda: CameraBox((0.0, 0.0, 0.5), (0.0, 0.0, 0.5)), "come nearer than 0.05 m"),
        (lambda: CameraBox((0.0, 0.0, 0.5), (0.0, 0.0, -0.1)), "eye_spread_m is -0.1"),
        (lambda: CameraBox((0.0, 0.0, 0.5), fovy_rad=(0.5, 4.0)), "fovy_rad is 4.0"),
        (lambda: CameraBoxes((BOX, replace(BOX, eye_spread_m=(0.0, 0.1, 0.1)))), "varies where another is fixed"),
        (lambda: PriorConfig(camera=Orbit()), "give a CameraPrior, or CameraBoxes"),  # type: ignore[arg-type]
        (lambda: PriorConfig(camera=MIXTURE).orbits, "not in boxes; use a CameraPrior"),
        (lambda: tabletop_prior(camera_roll_rad=-0.1), "camera_roll_rad is -0.1"),
        (lambda: tabletop_prior(camera_aim_rad=2.0), "camera_aim_rad is 2.0"),
    ],
)
def test_priors_that_mean_nothing(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
