"""Reward and likelihood against independent computation; what a step costs."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from air3d.environments import likelihood
from air3d.environments.config import EnvironmentConfig
from air3d.environments.episodes import Episodes
from air3d.renderers.analytic import AnalyticRenderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scenes.likelihood import Likelihood

CONFIG = EnvironmentConfig(kinds=("mug", "bowl"), max_objects=3, image_size=16, sigma=0.2)
COUNT = 6


class CountingRenderer(AnalyticRenderer):
    """Keeps the sizes of the batches that it was asked for."""

    def __init__(self, config):
        super().__init__(config)
        self.batches = []

    def render(self, scenes):
        self.batches.append(len(scenes))
        return super().render(scenes)


@pytest.fixture
def renderer():
    return CountingRenderer(CONFIG.render_config)


@pytest.fixture
def episodes(renderer):
    made = Episodes(CONFIG, renderer, COUNT)
    made.begin(range(COUNT), generators())
    return made


def generators():
    return [np.random.default_rng(i) for i in range(COUNT)]


def log_likelihood(episodes):
    """By scipy, from the pictures."""
    target, picture = episodes.targets / 255.0, episodes.pictures / 255.0
    return norm.logpdf(target, picture, CONFIG.sigma).sum((1, 2, 3))


def random_actions(episodes, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (len(episodes), episodes.layout.size))


def test_targets_show_scenes_of_the_prior(episodes, renderer):
    drawn = [ScenePrior(CONFIG.prior).sample(generator) for generator in generators()]
    assert episodes.truth.to_scenes() == drawn
    np.testing.assert_array_equal(episodes.targets, AnalyticRenderer.render(renderer, episodes.truth))
    assert not episodes.scenes.present.any()
    assert episodes.renders.tolist() == [2] * COUNT, "target and bare table"


def test_the_log_likelihood_is_the_gaussian_one(episodes):
    np.testing.assert_allclose(episodes.log_likelihood, log_likelihood(episodes), rtol=1e-12)


def test_rewards_are_gains_and_telescope(episodes):
    first, total = log_likelihood(episodes), np.zeros(COUNT)
    for k in range(12):
        before = log_likelihood(episodes)
        reward = episodes.step(random_actions(episodes, k), (), ()).reward
        np.testing.assert_allclose(reward, (log_likelihood(episodes) - before) / CONFIG.numbers, atol=1e-12)
        total += reward
    assert np.abs(total).min() > 0.0
    np.testing.assert_allclose(total, (log_likelihood(episodes) - first) / CONFIG.numbers, atol=1e-12)


def test_the_true_scene_is_worth_the_whole_error_and_ends_the_episode(renderer):
    """Its objects added one by one, under its camera: return = |x - render(start)|^2 / (2 sigma^2 D)."""
    episodes = Episodes(CONFIG, renderer, 1)
    truth = ScenePrior(CONFIG.prior).sample(np.random.default_rng(5))
    episodes.begin([0], [np.random.default_rng(5)], starts=[Scene((), truth.camera, truth.table)])
    gap = np.square((episodes.targets / 255.0 - episodes.pictures / 255.0)[0]).mean() / (2.0 * CONFIG.sigma**2)
    assert gap > 2 * CONFIG.tolerance
    outcomes = []
    for item in truth.objects:
        place, turn = np.array([item.x_m, item.y_m]) / 0.2, item.yaw_rad / np.pi
        # In float64: the encoded float32 would place objects a rounding away.
        action = episodes.layout.encode("add", kind=CONFIG.kinds.index(item.kind)).astype(np.float64)
        action[episodes.layout.parts["place"]], action[episodes.layout.parts["turn"]] = place, turn
        outcomes.append(episodes.step(action[None], (), ()))
    assert [bool(o.terminated[0]) for o in outcomes] == [False] * (len(outcomes) - 1) + [True]
    assert episodes.squared_error[0] * CONFIG.sigma**-2 / 255.0**2 / CONFIG.numbers < CONFIG.tolerance
    assert sum(o.reward[0] for o in outcomes) == pytest.approx(gap, abs=CONFIG.tolerance)


def test_stop_terminates_without_reward_or_render(episodes, renderer):
    renderer.batches.clear()
    outcome = episodes.step(np.stack([episodes.layout.encode("stop")] * COUNT), (), ())
    assert outcome.terminated.all() and outcome.valid.all()
    assert not outcome.reward.any()
    assert renderer.batches == []


def test_refused_actions_are_harmless(episodes, renderer):
    before, pictures, renders = episodes.scenes.to_scenes(), episodes.pictures.copy(), episodes.renders.tolist()
    renderer.batches.clear()
    outcome = episodes.step(np.stack([episodes.layout.encode("remove")] * COUNT), (), ())
    assert not outcome.valid.any() and not outcome.reward.any() and not outcome.terminated.any()
    assert episodes.scenes.to_scenes() == before
    np.testing.assert_array_equal(episodes.pictures, pictures)
    assert (renderer.batches, episodes.renders.tolist()) == ([], renders)


def test_a_step_draws_one_batch_of_what_changed(episodes, renderer):
    """Four add an object, one is refused, one begins anew (target and bare table)."""
    add, refused = episodes.layout.encode("add"), episodes.layout.encode("turn")
    renderer.batches.clear()
    outcome = episodes.step(np.stack([add, add, refused, add, add, add]), [5], [np.random.default_rng(9)])
    assert renderer.batches == [4 + 2]
    assert outcome.valid.tolist() == [True, True, False, True, True, True]
    assert episodes.renders.tolist() == [3, 3, 2, 3, 3, 2]
    assert outcome.reward[5] == 0.0
    assert episodes.truth[5:].to_scenes() == [ScenePrior(CONFIG.prior).sample(np.random.default_rng(9))]
    assert not episodes.scenes.present[5].any()


def test_previews_are_the_rewards_of_steps(episodes):
    episodes.step(np.stack([episodes.layout.encode("add")] * COUNT), (), ())
    proposals = np.random.default_rng(4).uniform(-1.0, 1.0, (COUNT, 5, episodes.layout.size))
    before, renders = episodes.scenes.to_scenes(), episodes.renders.copy()
    gains = episodes.preview(proposals)
    assert episodes.scenes.to_scenes() == before
    assert ((gains != 0.0).sum(1) <= episodes.renders - renders).all()
    for k in range(5):
        other = Episodes(CONFIG, AnalyticRenderer(CONFIG.render_config), COUNT)
        other.begin(range(COUNT), generators(), starts=before)
        np.testing.assert_array_equal(other.step(proposals[:, k], (), ()).reward, gains[:, k])


def test_a_picture_can_be_the_target(renderer):
    episodes, generator = Episodes(CONFIG, renderer, 1), np.random.default_rng(0)
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    episodes.begin([0], [generator], targets=image)
    np.testing.assert_array_equal(episodes.targets, image)
    assert (episodes.known.tolist(), episodes.renders.tolist()) == ([False], [1])
    assert generator.random() == np.random.default_rng(0).random(), "nothing was drawn"


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": np.zeros((2, 16, 16, 3), np.uint8)},
        {"targets": np.zeros((1, 3, 16, 16))},
        {"starts": []},
        {"starts": [Scene(), Scene()]},
    ],
)
def test_what_cannot_begin_is_refused(renderer, wrong):
    with pytest.raises(InputError):
        Episodes(CONFIG, renderer, 1).begin([0], [np.random.default_rng(0)], **wrong)


@pytest.mark.parametrize("blur_px", [0.0, 1.0, 3.0])
def test_blurred_errors_agree_with_those_of_learning(blur_px):
    """`air3d.scenes.likelihood` blurs by leading eigenvectors, in torch."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)
    mine = likelihood.Likelihood(EnvironmentConfig(image_size=16, blur_px=blur_px)).squared_error(a, b) / 255.0**2
    images, renders = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255.0 for x in (a, b))
    np.testing.assert_allclose(mine, Likelihood(1.0).error(images, renders[:, None], blur_px)[:, 0].numpy(), rtol=2e-3)
