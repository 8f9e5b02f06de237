"""Learning and inference where the weights are not in the CPU's memory: the same numbers, and nothing left behind.

`test_other_device` runs these tests in a process of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.cli import train, train_digits
from air3d.cli.main import main
from air3d.digits import infer, step_graph
from air3d.digits import train as digits
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.evaluate import evaluate_digits
from air3d.digits.latents import AirConfig
from air3d.digits.learner import AirLearner
from air3d.digits.store import Model, ModelConfig, ModelName, make_model
from air3d.digits.train import DigitsTrainConfig
from air3d.distributions.z_pres import CountPrior
from air3d.networks.encoder import EncoderConfig
from air3d.networks.folder import WEIGHTS
from air3d.networks.weights import load_tensors
from air3d.renderers.choice import make_renderer
from air3d.renderers.protocol import Renderer
from air3d.scene3d.presets import single_prior, tabletop_prior
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.learner import ESTIMATORS, EstimatorConfig
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.model import SceneModel
from air3d.scenes.one_look import OneLookConfig
from air3d.scenes.step_guide import StepGuideConfig
from air3d.scenes.wake_config import WakeConfig
from air3d.training import scenes as training
from air3d.training.config import Phase, TabletopTrainConfig, TrainConfig
from air3d.training.run_folder import RunFolder
from experiments.kept import Kept
from experiments.multi_mnist.codes import codes
from experiments.multi_mnist.command import run_parts
from experiments.multi_mnist.data import DigitsStock
from experiments.multi_mnist.plan import PARTS, Labels, Plan
from experiments.multi_mnist.workbench import Workbench
from tests.air3d.digits.conftest import listed_gradients
from tests.air3d.scenes.conftest import tiny_guide
from tests.other_device import computing_on_the_other_device, recorded

CPU = torch.device("cpu")
ITERATIONS = 3

NETWORKS: dict[ModelName, ModelConfig] = {
    "air": AirConfig(12, window=5, hidden=16, head=12, what=4, codec=10),
    "dair": AirConfig(12, window=5, hidden=16, head=12, what=4, codec=10, glimpse_channels=(3, 4), shrink=2),
    "draw": DrawConfig(12, steps=2, hidden=16, code=4, read=3, write=3),
    "cae": CaeConfig(12, channels=(3, 4), code=5),
}


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with computing_on_the_other_device(monkeypatch) as device:
        yield device


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "_MEAN_DREAMS", 8)
    monkeypatch.setattr(digits, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(digits, "LOG_EVERY", 1)


def test_it_keeps_what_is_on_it_apart(other: torch.device) -> None:
    here, there = torch.ones(3), torch.ones(3, device=other)
    for wrong in (
        lambda: here + there,
        lambda: torch.stack([here, there]),
        lambda: there.numpy(),
        lambda: torch.rand(3, generator=torch.Generator(), device=other),
        lambda: torch.rand(3, generator=torch.Generator(other)),
    ):
        with pytest.raises(RuntimeError):
            wrong()
    assert torch.equal((2.0 * there + here.to(other)).cpu(), 3.0 * here)
    assert torch.equal(there[here.nonzero()[:, 0]].cpu(), here)


@pytest.mark.parametrize(
    "name, estimator", [("air", "exact"), ("air", "nvil"), ("dair", "exact"), ("draw", "exact"), ("cae", "exact")]
)
def test_digits_learn_there_as_on_the_cpu(
    name: ModelName, estimator: Any, bytes_images: NDArray[np.uint8], tmp_path: Any, other: torch.device
) -> None:
    config = DigitsTrainConfig(iterations=ITERATIONS, batch=4, estimator=estimator, shares=2, explore=0.3)

    def learn(device: torch.device) -> Model:
        model = make_model(name, NETWORKS[name], seed=0).to(device)
        images = torch.from_numpy(bytes_images).to(device)
        folder = tmp_path / device.type

        def stop(record: dict[str, Any]) -> None:
            if record["iteration"] == ITERATIONS - 1:
                raise KeyboardInterrupt

        for report in (stop, lambda record: None):  # stopped once, and resumed
            try:
                digits.train(model, images, config, RunFolder(folder, config, {}), {}, report)
            except KeyboardInterrupt:
                model = make_model(name, NETWORKS[name], seed=9).to(device)
        return model

    want, got = learn(CPU), learn(other)
    same_weights(want, got)
    counts = np.arange(len(bytes_images)) % 3
    np.testing.assert_allclose(codes(got, bytes_images).cpu(), codes(want, bytes_images), atol=1e-5)
    if name != "cae":
        np.testing.assert_allclose(infer.elbo(got, bytes_images, 2, 0), infer.elbo(want, bytes_images, 2, 0), rtol=1e-5)
    error = [evaluate_digits(model, bytes_images, counts, 2, 0).metrics["reconstruction_mse"] for model in (want, got)]
    assert error[1] == pytest.approx(error[0], rel=1e-4)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> list[step_graph.Gradients]:
    """Steps are recorded, by a stand-in for CUDA's graphs; those who do so are listed."""
    monkeypatch.setattr(digits, "can_record", lambda device: device.type == "other")
    monkeypatch.setattr(step_graph, "record", recorded)
    monkeypatch.setattr(step_graph, "on_side_stream", nullcontext)
    return listed_gradients(monkeypatch)


@pytest.mark.parametrize("name", ["air", "dair", "draw", "cae"])
def test_recorded_steps_learn_as_others_do(
    name: ModelName, bytes_images: NDArray[np.uint8], other: torch.device, recording: list[step_graph.Gradients]
) -> None:
    """Recorded once: noise, minibatch, explored share, the annealed prior and the learning rate must go on changing."""
    config = DigitsTrainConfig(iterations=9, batch=4, explore=0.6)
    network = NETWORKS[name]
    if isinstance(network, AirConfig):
        network = replace(network, count=CountPrior(0.01, 2.0, 0.9))

    def learn(device: torch.device) -> tuple[Model, list[dict[str, Any]]]:
        model, records = make_model(name, network, seed=0).to(device), []
        digits.train(model, torch.from_numpy(bytes_images).to(device), config, None, {}, records.append)
        return model, records

    (want, told), (got, retold) = learn(CPU), learn(other)
    assert [(gradients.recording, gradients.replays) for gradients in recording] == [(False, 0), (True, 6)]
    same_weights(want, got)
    for a, b in zip(told, retold, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)


@pytest.mark.parametrize("fault", ["asks the host", "draws", "replays nothing", "replays something else"])
def test_what_cannot_be_recorded_is_launched_as_it_is(
    fault: str,
    bytes_images: NDArray[np.uint8],
    other: torch.device,
    recording: list[step_graph.Gradients],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = AirLearner.step

    def step(self: AirLearner, images: torch.Tensor, *drawn: torch.Tensor) -> Any:
        done = plain(self, images, *drawn)
        if fault == "asks the host":
            float(done.loss.detach())
        elif fault == "draws":
            torch.rand(3, device=images.device)
        return done

    def broken(launch: Any) -> Any:
        replay, result = recorded(launch)
        gradients = [p.grad for p in model.parameters()]

        def replay_something_else() -> None:
            replay()
            for gradient in gradients:
                gradient.mul_(1.1)

        replays = {"replays nothing": lambda: None, "replays something else": replay_something_else}
        return replays.get(fault, replay), result

    config = DigitsTrainConfig(iterations=6, batch=4)
    model, plainly = (make_model("air", NETWORKS["air"], seed=0) for _ in range(2))
    digits.train(plainly, torch.from_numpy(bytes_images), config, None, {}, lambda record: None)
    monkeypatch.setattr(AirLearner, "step", step)
    monkeypatch.setattr(step_graph, "record", broken)
    digits.train(model.to(other), torch.from_numpy(bytes_images).to(other), config, None, {}, lambda record: None)
    assert [(gradients.recording, gradients.replays) for gradients in recording] == [(False, 0), (False, 0)]
    same_weights(plainly, model)


def same_weights(want: torch.nn.Module, got: torch.nn.Module) -> None:
    for (name, a), (_, b) in zip(want.state_dict().items(), got.state_dict().items(), strict=True):
        assert b.device.type == "other", name
        torch.testing.assert_close(b.cpu(), a, msg=name)


PRIOR = tabletop_prior(("mug", "bowl"), max_objects=2)
SIZE = 16


def guide(feedback: Any) -> StepGuideConfig:
    return tiny_guide(SIZE, feedback=feedback)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with make_renderer(SceneModel.of(PRIOR, guide("marks"), Likelihood()).render_config, "analytic") as opened:
        yield opened


@pytest.fixture(scope="module")
def tables(renderer: Renderer) -> NDArray[np.uint8]:
    """(6, 16, 16, 3)."""
    return renderer.render(ScenePrior(PRIOR).sample_batch(np.random.default_rng(0), 6))


@pytest.mark.parametrize("feedback", ["marks", "difference"])
@pytest.mark.parametrize("phase, cold", [("sleep", 1.0), ("wake", 1.0), ("wake", 0.5), ("tune", 1.0)])
def test_tabletops_learn_there_as_on_the_cpu(
    phase: Phase,
    cold: float,
    feedback: Any,
    renderer: Renderer,
    tables: NDArray[np.uint8],
    tmp_path: Any,
    other: torch.device,
) -> None:
    config = TabletopTrainConfig(
        phase=phase, iterations=ITERATIONS, batch=4, warm_up=2, seed=7, shares=2, guide=guide(feedback),
        dreams=0 if phase == "sleep" else 2, estimator=EstimatorConfig("rws" if phase == "wake" else "lr", samples=2),
        wake=WakeConfig(3, 2, 2, 3, 2, cold=cold, remembered=4, visits=2, turns=2),
    )  # fmt: skip

    def learn(device: torch.device) -> tuple[SceneModel, list[float]]:
        model, losses = training.new_model(config, PRIOR), []
        model.guide.to(device)
        run = RunFolder(tmp_path / device.type, config, {})
        training.train(model, tables, renderer, config, run, {}, lambda record: losses.append(record["loss"]))
        return model, losses

    (want, want_losses), (got, got_losses) = learn(CPU), learn(other)
    assert all(weight.device == other for weight in got.guide.state_dict().values())
    assert got_losses == pytest.approx(want_losses, rel=1e-4)
    answers = [model.infer(tables, renderer) for model in (want, got)]
    np.testing.assert_array_equal(answers[1].scenes.kind, answers[0].scenes.kind)
    np.testing.assert_allclose(answers[1].presence, answers[0].presence, atol=1e-5)
    drawn = [
        model.sample(tables, renderer, 3, torch.Generator(device).manual_seed(5))
        for model, device in ((want, CPU), (got, other))
    ]
    np.testing.assert_allclose(drawn[1].log_weight, drawn[0].log_weight, rtol=1e-4)


def _lstm_step(cell: torch.nn.LSTMCell, seen: Tensor) -> tuple[Tensor, Tensor]:
    """A step from the state zero."""
    gates = torch.nn.functional.linear(seen, cell.weight_ih, cell.bias_ih + cell.bias_hh)
    enter, _, value, leave = gates.chunk(4, -1)
    state = torch.sigmoid(enter) * torch.tanh(value)
    return torch.sigmoid(leave) * torch.tanh(state), state


@pytest.mark.parametrize("name", ESTIMATORS)
def test_single_objects_learn_there_as_on_the_cpu(
    name: str, other: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every estimator; the first step is asleep, and one beside it too."""
    monkeypatch.setattr(torch.nn.LSTMCell, "forward", _lstm_step)  # torch's own is one operation, CPU's and CUDA's
    small = OneLookConfig(EncoderConfig(SIZE, (8, 16), 16), 16, 16, yaw_components=4, window=8, glimpse=8)
    estimator = EstimatorConfig(name, samples=6, sleep_until=0.2, sleep_share=0.3 if name == "rws" else 0.0)
    config, prior = TrainConfig(4, 4, seed=3, guide=small, estimator=estimator, curriculum=0.5), single_prior()

    def learn(device: torch.device) -> tuple[list[float], SceneModel]:
        model, losses = training.new_model(config, prior), []
        with make_renderer(model.render_config, "analytic") as opened:
            images = opened.render(ScenePrior(prior).sample_batch(np.random.default_rng(0), 8))
            model.guide.to(device)
            training.train(model, images, opened, config, None, {}, lambda record: losses.append(record["loss"]))
        return losses, model

    (want, _), (got, model) = learn(CPU), learn(other)
    assert all(weight.device == other for weight in model.guide.state_dict().values())
    assert got == pytest.approx(want, rel=1e-3) and len(want) == 4


class DrawsThere:
    """The renderer `inner`, whose pictures lie on `device`, as those of Warp do; it counts them."""

    def __init__(self, inner: Renderer, device: torch.device) -> None:
        self.inner, self._device, self.drawn = inner, device, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def device(self) -> str:
        return str(self._device)

    def render_torch(self, scenes: Any) -> torch.Tensor:
        self.drawn += len(scenes)
        return torch.from_numpy(self.inner.render(scenes)).to(self._device)


def test_pictures_that_lie_there_stay_there(
    renderer: Renderer, tables: NDArray[np.uint8], other: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TabletopTrainConfig(iterations=1, batch=4, guide=guide("difference"))
    model = training.new_model(config, PRIOR)
    model.guide.to(other)
    there = DrawsThere(renderer, other)
    latents = model.world.from_batch(ScenePrior(PRIOR).sample_batch(np.random.default_rng(1), 5), other)
    want = model.painter(renderer).draw(latents)
    got = model.painter(there).draw(latents)
    assert there.drawn == 5
    assert got.device == other
    torch.testing.assert_close(got.cpu(), want.cpu(), rtol=0.0, atol=0.0)


SMALL_AIR = AirConfig(window=8, shrink=5, hidden=16, head=8, codec=8, what=4)


def test_the_digits_experiments_run_there(tmp_path: Any, other: torch.device) -> None:
    plan = Plan(
        train=24, validation=10, test=10, training=DigitsTrainConfig(iterations=2, batch=4), longer=2, longer_air=2,
        seeds=(0,), nvil_seeds=1, generalisation_seeds=(0,), longer_seeds=(), foreign_seeds=(0,), measure_every=2,
        labels=Labels(sizes=(20,), iterations=2, batch=4, hidden=8),
        air=SMALL_AIR, codes_air=SMALL_AIR,
        draw=DrawConfig(steps=2, hidden=8), cae=CaeConfig(channels=(4, 4), code=5),
    )  # fmt: skip
    stock = DigitsStock(tmp_path / "data", "uci", None, lambda line: None)
    kept = Kept(tmp_path, {"command": "a test"}, lambda line: None)
    run_parts(Workbench(kept, plan, stock, other))
    assert [len(kept.results(part)) for part in PARTS] == [2, 4, 4, 10]


@pytest.mark.parametrize(
    "line",
    [
        "train digits {data}/digits --out {run} --train.iterations 2 --train.batch 4 --train.precision float32 "
        "--air.hidden 16 --air.window 8",
        "train tabletop --run {run} --train.iterations 2 --train.batch 3 --film-every 1 --kinds mug bowl "
        "--max-objects 2 --renderer analytic --train.guide.image-size 16 --train.guide.camera-widths 4 6 8 "
        "--train.guide.widths 6 8 10 --train.guide.window 10",
    ],
)
def test_the_command_line_trains_there(
    line: str, tmp_path: Any, other: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (train_digits, train):
        monkeypatch.setattr(module, "choose_device", lambda name: other)
    data = f"generate digits {tmp_path}/digits --num 12 --source uci --workers 1 --quiet"
    assert main(data.split()) == 0
    command = [part.format(data=tmp_path, run=tmp_path / "run") for part in line.split()]
    assert main([*command, "--quiet", "--device", "cuda"]) == 0
    found = load_tensors((tmp_path / "run" / "model" / WEIGHTS).read_bytes(), tmp_path)
    assert all(weight.isfinite().all() for weight in found.values() if weight.is_floating_point())
