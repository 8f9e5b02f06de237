"""Training of the 2D track: resumes exactly, leaves labels alone, warns of collapse, refuses what does not fit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from air3d.digits import train as training
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.learner import AirLearner, make_learner
from air3d.digits.objective import terms
from air3d.digits.store import load_digits_model, make_model
from air3d.digits.train import (
    CountWatch,
    DigitsRunConfig,
    DigitsTrainConfig,
    learning_rate_factor,
    make_optimiser,
    new_model,
    train,
)
from air3d.scene3d.errors import InputError
from air3d.training.loop import Step, log_record
from air3d.training.processes import ALONE
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.shares import Shares
from tests.air3d.digits.conftest import listed_gradients

DRAW = DrawConfig(12, steps=3, hidden=10, code=4, read=4, write=3)
CAE = CaeConfig(12, channels=(4, 6), code=5)


class StoppedError(Exception):
    pass


@pytest.fixture
def images(bytes_images):
    return torch.from_numpy(bytes_images)


@pytest.fixture(params=["air", "air nvil", "air bfloat16", "dair", "draw", "cae", "draw bfloat16", "cae bfloat16"])
def config(request, small) -> DigitsRunConfig:
    name, *rest = request.param.split()
    network = {"draw": DRAW, "cae": CAE}.get(name, small)
    estimator = "nvil" if "nvil" in rest else "exact"
    precision = "bfloat16" if "bfloat16" in rest else "float32"
    how = DigitsTrainConfig(iterations=8, batch=5, seed=3, estimator=estimator, precision=precision)
    return DigitsRunConfig(name, network, how)


def trained(config, images, folder: Path, stop_after: int | None = None) -> dict[str, torch.Tensor]:
    model, run = new_model(config, images), RunFolder(folder, config, {})
    calls = []

    def report(record):
        calls.append(record)
        if len(calls) == stop_after:
            raise StoppedError

    train(model, images, config.train, run, {"made_by": "a test"}, report)
    return model.state_dict()


def test_resuming_is_exact(config, images, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 3)
    whole = trained(config, images, tmp_path / "whole")
    for stop in (5, 2):  # after the checkpoint at 3, then before the one at 6
        with pytest.raises(StoppedError):
            trained(config, images, tmp_path / "parts", stop_after=stop)
    again = trained(config, images, tmp_path / "parts")
    assert whole.keys() == again.keys()
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    assert read_log(tmp_path / "parts") == read_log(tmp_path / "whole")
    assert [record["iteration"] for record in read_log(tmp_path / "whole")] == list(range(1, 9))
    stored = load_digits_model(str(tmp_path / "parts"))
    assert stored.provenance["made_by"] == "a test" and stored.provenance["iterations"] == 8
    assert all(torch.equal(value, stored.model.state_dict()[name]) for name, value in whole.items())
    fresh = new_model(config, images).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in whole.items())


def test_seeds_differ(config, images, tmp_path):
    one = trained(config, images, tmp_path / "a")
    other = trained(replace(config, train=replace(config.train, seed=4)), images, tmp_path / "b")
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_of_another_configuration_is_refused(small, tmp_path):
    config = DigitsRunConfig("air", small)
    RunFolder(tmp_path / "run", config, {})
    with pytest.raises(InputError, match=r"network\.steps 3, not 2"):
        RunFolder(tmp_path / "run", replace(config, network=replace(small, steps=2)), {})
    with pytest.raises(InputError, match="model 'air', not 'dair'"):
        RunFolder(tmp_path / "run", replace(config, model="dair"), {})
    with pytest.raises(InputError, match="CaeConfig is no configuration of 'air'"):
        DigitsRunConfig("air", CAE)


def test_images_of_another_size_are_refused(small):
    with pytest.raises(InputError, match="images are 13x13 pixels; the model reads 12x12"):
        new_model(DigitsRunConfig("air", small), torch.zeros(3, 13, 13, dtype=torch.uint8))


def test_only_the_baseline_has_the_baselines_learning_rate(small):
    how = DigitsTrainConfig(estimator="nvil", learning_rate=1e-4)
    learner = make_learner(make_model("air", small, 0), "nvil", "float32")
    groups = make_optimiser(learner, how).param_groups
    assert [group["lr"] for group in groups] == [1e-4, 0.1]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in learner.baseline.parameters()}
    together = [id(p) for group in groups for p in group["params"]]
    assert together == [id(p) for p in learner.parameters()], "the order that checkpoints rely on"


def test_the_first_step_of_nvil_only_measures(small, images):
    learner = make_learner(make_model("air", small, 0), "nvil", "float32")
    generator = torch.Generator().manual_seed(0)
    pixels = images[:8].float() / 255
    learner.step(pixels, *learner.draw(8, 0.0, generator))
    assert float(learner.baseline.moments.batches) == 1.0
    step = learner.step(pixels, *learner.draw(8, 0.0, generator))
    step.loss.backward()
    assert learner.baseline.out.weight.grad.abs().max() > 0


def test_exploration_ends_in_the_middle_of_a_run(small, images):
    """A falling share, then none: the second half learns on the bound itself."""
    learner = make_learner(make_model("air", small, 0), "exact", "float32", explore=0.4)
    shares = [float(learner.draw(7, t, torch.Generator())[2]) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert shares == pytest.approx([0.4, 0.2, 0.0, 0.0, 0.0])
    pixels = images[:7].float() / 255
    drawn = learner.draw(7, 0.5, torch.Generator().manual_seed(0))
    step = learner.step(pixels, *drawn)
    assert float(step.loss.detach()) == pytest.approx(-float(step.values["elbo"]), rel=1e-5)
    found = torch.autograd.grad(step.loss, learner.parameters())
    parts = terms(pixels, learner.model(pixels, drawn[0]), small, drawn[1])
    wanted = torch.autograd.grad(-parts.elbo.mean(), learner.parameters())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_a_run_explores_as_it_is_told(small, images, monkeypatch):
    """In its first half, and no longer."""
    seen = []
    original = AirLearner.step

    def spy(self, pixels, *drawn):
        seen.append(float(drawn[2]))
        return original(self, pixels, *drawn)

    monkeypatch.setattr(AirLearner, "step", spy)
    how = DigitsTrainConfig(iterations=4, batch=2, explore=0.6)
    train(make_model("air", small, 0), images, how, None, {}, lambda record: None)
    assert seen == pytest.approx([0.6, 0.3, 0.0, 0.0])


def test_bfloat16_changes_the_gradient_by_a_few_parts_in_a_thousand(small, images):
    """Its significand has 8 bits, so each product errs by up to 2^-8; the bound itself is summed in float32."""
    pixels, gradients, losses = images[:30].float() / 255, [], []
    for precision in ("float32", "bfloat16"):
        learner = make_learner(make_model("air", small, 0), "exact", precision)
        step = learner.step(pixels, *learner.draw(30, 0.5, torch.Generator().manual_seed(0)))
        step.loss.backward()
        assert step.loss.dtype == torch.float32
        losses.append(float(step.loss.detach()))
        gradients.append(torch.cat([p.grad.flatten() for p in learner.parameters()]))
    assert losses[0] != losses[1], "both were computed"
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["air", "dair", "draw", "cae"])
def test_steps_recorded_on_cuda_learn_as_those_launched_one_by_one(name, small, images, monkeypatch):
    config = DigitsTrainConfig(iterations=30, batch=8, explore=0.6, precision="bfloat16")
    network = {"draw": DRAW, "cae": CAE}.get(name, small)
    made, losses = listed_gradients(monkeypatch), []
    for may in (True, False):
        monkeypatch.setattr(training, "can_record", lambda device, may=may: may)
        model = make_model(name, network, 0).cuda()
        train(model, images.cuda(), config, None, {}, lambda record: losses.append(record.get("loss")))
    assert [(gradients.recording, gradients.replays) for gradients in made] == [(True, 27), (False, 0)]
    assert losses[29] == pytest.approx(losses[59], rel=1e-3)


def test_learning_rate():
    assert learning_rate_factor(0.0) == learning_rate_factor(0.599) == 1.0
    assert learning_rate_factor(0.8) == pytest.approx(0.05 + 0.95 / 2)
    assert learning_rate_factor(1.0) == pytest.approx(0.05)


def test_collapse_and_divergence_are_told():
    one = Shares(1, 0, torch.Generator(), ALONE)

    def record(share, loss, progress):
        step = Step(torch.tensor(loss), {"elbo": torch.tensor(-loss)}, torch.tensor(share))
        return log_record(7, progress, [step], torch.tensor(1.0), one, CountWatch())

    assert "0 objects" in record([0.99, 0.01, 0.0], 3.0, 0.5)["warning"]
    assert "1 objects" in record([0.005, 0.99, 0.005], 3.0, 0.5)["warning"]
    assert "warning" not in record([0.9, 0.1, 0.0], 3.0, 0.5)
    assert "warning" not in record([0.99, 0.01, 0.0], 3.0, 0.1)
    with pytest.raises(InputError, match="at iteration 7; use a lower learning_rate"):
        record([0.9, 0.1, 0.0], math.nan, 0.5)
