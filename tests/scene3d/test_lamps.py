"""Further lamps: directions, the prior and its density, files with and without them."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.stats import kstest

from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.config_json import config_to_dict
from air3d.scene3d.errors import InputError
from air3d.scene3d.lamps import lamp_directions
from air3d.scene3d.mjcf import scene_mjcf
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import Perturbation, PriorConfig, ScenePrior
from air3d.scene3d.scene import Lamp, Light, Scene
from air3d.scene3d.scene_json import scene_from_json, scene_to_dict, scene_to_json

VARIED = PriorConfig(kinds=("mug",), max_objects=1, perturb=Perturbation(lamps=0.4))


def test_light_travels_away_from_its_lamp():
    lamps = (Lamp(0.0, 0.0, 1.0), Lamp(math.pi / 2, 0.0, 1.0), Lamp(0.7, math.pi / 2, 1.0))
    found = lamp_directions(SceneBatch.from_scenes([Scene(light=Light(lamps=lamps))]))[0]
    assert np.allclose(found, [[-1, 0, 0], [0, -1, 0], [0, 0, -1]])


def test_files_keep_them_and_are_as_before_without():
    scene = Scene(light=Light(lamps=(Lamp(0.1, 0.2, 0.3), Lamp(1.1, 1.2, 1.3))))
    assert scene_from_json(scene_to_json(scene)) == scene
    assert "lamps" not in scene_to_dict(Scene())["light"]
    assert "lamps" not in config_to_dict(PriorConfig())["perturb"]


def test_an_exported_model_has_them():
    scene = Scene(light=Light(lamps=(Lamp(0.1, 0.2, 0.3), Lamp(1.1, 1.2, 1.3))))
    made = scene_mjcf(scene, "meshes")
    model = mujoco.MjModel.from_xml_string(made.text, made.files)
    assert np.allclose(model.light_diffuse[:, 0], [scene.light.diffuse, 0.3, 1.3])
    assert np.allclose(model.light_dir[1:], lamp_directions(SceneBatch.from_scenes([scene]))[0, :2], atol=1e-6)


@pytest.mark.parametrize("lamp", [(0.0, -0.1, 1.0), (0.0, 1.6, 1.0), (0.0, 0.1, 0.0), (0.0, 0.1, 3.0), ("x", 0.1, 1.0)])
def test_impossible_lamps_are_refused(lamp):
    with pytest.raises(InputError, match="lamp: "):
        Lamp(*lamp)


def test_at_most_three_and_lamps_only():
    with pytest.raises(InputError, match="at most 3"):
        Light(lamps=(Lamp(0.0, 0.1, 1.0),) * 4)
    with pytest.raises(InputError, match="Lamp"):
        Light(lamps=(1.0,))


def test_nothing_else_shifts():
    """Lamps are drawn last: the first scene of a stream is the one without them, lamps aside."""
    for seed in range(5):
        plain = ScenePrior(replace(VARIED, perturb=Perturbation())).sample(np.random.default_rng(seed))
        lit = ScenePrior(VARIED).sample(np.random.default_rng(seed))
        assert replace(lit, light=replace(lit.light, lamps=())) == plain


def test_they_follow_the_prior(fits):
    lights = ScenePrior(VARIED).sample_batch(np.random.default_rng(3), 4000).lamps
    count = (lights[..., 2] > 0.0).sum(axis=1)
    assert np.bincount(count, minlength=4).min() > 880  # 1000 +- 27
    azimuth, elevation, diffuse = lights[lights[..., 2] > 0.0].T
    fits(kstest(azimuth / (2.0 * math.pi) + 0.5, "uniform").pvalue, "azimuth of lamps")
    fits(kstest(elevation / (math.pi / 2.0), "uniform").pvalue, "elevation of lamps")
    fits(kstest(diffuse / 0.4, "uniform").pvalue, "brightness of lamps")


def test_density_is_one_over_the_volume():
    """A lamp is uniform over a turn, a quarter of one, and brightness up to 0.4; none to three are as likely."""
    prior = ScenePrior(VARIED)
    plain = ScenePrior(replace(VARIED, perturb=Perturbation()))
    scene = plain.sample(np.random.default_rng(0))
    lamps = (Lamp(-3.0, 0.1, 0.1), Lamp(2.0, 1.5, 0.39), Lamp(0.0, 0.5, 0.2))
    base = plain.log_prob(SceneBatch.from_scenes([scene], ("mug",), 1))[0]
    for k in range(4):
        lit = replace(scene, light=replace(scene.light, lamps=lamps[:k]))
        expected = base - math.log(4) - k * math.log(2 * math.pi * (math.pi / 2) * 0.4)
        assert prior.log_prob(SceneBatch.from_scenes([lit], ("mug",), 1))[0] == pytest.approx(expected)
    for outside in (Lamp(3.2, 0.1, 0.1), Lamp(0.0, 0.1, 0.41)):
        lit = replace(scene, light=replace(scene.light, lamps=(outside,)))
        assert prior.log_prob(SceneBatch.from_scenes([lit], ("mug",), 1))[0] == -np.inf
        assert plain.log_prob(SceneBatch.from_scenes([lit], ("mug",), 1))[0] == -np.inf


def test_lamps_of_the_nominal_light_are_in_every_scene():
    lamps = (Lamp(0.1, 0.2, 0.3),)
    prior = ScenePrior(replace(tabletop_prior(), light=Light(lamps=lamps)))
    batch = prior.sample_batch(np.random.default_rng(0), 5)
    assert all(scene.light.lamps == lamps for scene in batch) and np.isfinite(prior.log_prob(batch)).all()
    assert prior.config.varied and not tabletop_prior().varied
