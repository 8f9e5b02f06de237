"""The training loop on a straight line: against Adam written out, and what it hands on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from air3d.scene3d.errors import InputError
from air3d.training.loop import Share, Step, falling, fit
from air3d.training.processes import ALONE
from air3d.training.run_folder import RunFolder, read_log
from air3d.training.shares import Shares

ITERATIONS, RATE, CLIP = 7, 0.1, 0.5


def line() -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, -1.0)
    return layer


def adam(layer: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(layer.parameters(), lr=RATE, betas=(0.9, 0.99))


def shares(count: int = 1) -> Shares:
    return Shares(count, 3, torch.Generator().manual_seed(3), ALONE)


def squared(layer: nn.Linear, share: Share) -> Step:
    x = torch.rand((share.of(4), 1), generator=share.generator)
    loss = layer(x).square().mean()
    return Step(loss, {"x": x.mean(), "renders": float(len(x))}, torch.tensor([1.0, 0.0]))


def halves(iteration: int) -> float:
    return 0.5**iteration


class Always:
    """A watch that remembers what it was told, and warns."""

    def __init__(self) -> None:
        self.remembered: list[dict[str, Any]] = []

    def remember(self, records: list[dict[str, Any]]) -> None:
        self.remembered = records

    def record(self, progress: float, answers: Tensor) -> dict[str, Any]:
        return {"answers": answers.tolist(), "warning": f"at {progress:.2f}"}


def test_it_is_adam_with_a_bounded_gradient() -> None:
    """Kingma and Ba 2015, Algorithm 1, in float64."""
    layer, w, b = line().double(), 2.0, -1.0

    def step(share: Share) -> Step:
        return Step(layer(torch.ones(1, 1, dtype=torch.float64)).square().sum(), {})

    fit(layer, adam(layer), step, shares(), ITERATIONS, rate=halves, clip=CLIP)
    m, v = 0.0, 0.0
    for t in range(ITERATIONS):
        gradient = 2.0 * (w + b)  # of both
        gradient *= min(1.0, CLIP / (math.sqrt(2.0) * abs(gradient) + 1e-6))
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        change = RATE * 0.5**t * m / (1.0 - 0.9 ** (t + 1)) / (math.sqrt(v / (1.0 - 0.99 ** (t + 1))) + 1e-8)
        w, b = w - change, b - change
    assert [layer.weight.item(), layer.bias.item()] == pytest.approx([w, b], rel=1e-9)


def test_what_it_logs_reports_and_leaves(tmp_path: Path) -> None:
    layer, run, looked, exported = line(), RunFolder(tmp_path / "run", {}, {}), list[int](), list[Any]()
    records: list[dict[str, Any]] = []
    progress: list[float] = []

    def step(share: Share) -> Step:
        assert layer.training
        progress.append(share.progress)
        return squared(layer, share)

    for watch in (Always(), Always()):  # the second time there is nothing left to do
        fit(
            layer, adam(layer), step, shares(2), ITERATIONS, rate=halves, clip=CLIP, watch=watch, log_every=3,
            checkpoint_every=4, run=run, export=lambda *given: exported.append(given), report=records.append,
            look=looked.append,
        )  # fmt: skip
        assert not layer.training
    log = read_log(run.folder)
    assert [record["iteration"] for record in log] == [3, 6, 7] and watch.remembered == log
    assert records == [{}, {}, log[0], log[0], log[0], log[1], log[2]] and looked == list(range(1, 8))
    names = ["iteration", "loss", "gradient_norm", "x", "renders", "answers", "warning"]
    assert [list(record) for record in log] == 3 * [names]
    assert log[0]["renders"] == 4.0 and log[0]["answers"] == [1.0, 0.0] and log[0]["warning"] == "at 0.29"
    assert exported == 2 * [(run.model_folder, {"iterations": 7, "seed": 3})]
    assert progress == [i / 7 for i in range(7) for _ in range(2)]
    assert run.iterations_done() == 7


def test_only_the_first_group_is_bounded() -> None:
    """Both gradients are far above the bound; plain descent shows which was cut."""
    layer = line()

    def step(share: Share) -> Step:
        return Step(100.0 * (layer.weight + layer.bias).sum(), {})

    groups: Any = [{"params": [layer.weight], "lr": 1.0}, {"params": [layer.bias], "lr": 1.0}]
    fit(layer, torch.optim.SGD(groups), step, shares(), 1, rate=lambda iteration: 1.0, clip=CLIP)
    assert [layer.weight.item(), layer.bias.item()] == pytest.approx([2.0 - CLIP, -1.0 - 100.0])


def test_running_statistics_come_from_all_shares_alike() -> None:
    layer, buffer = line(), torch.zeros(())

    def step(share: Share) -> Step:
        buffer.add_(1.0 + 2.0 * share.number)
        return squared(layer, share)

    fit(layer, adam(layer), step, shares(2), 5, rate=halves, clip=CLIP, running=[buffer])
    assert float(buffer) == 5 * (1.0 + 3.0) / 2


def test_gradients_that_were_added_are_not_added_again() -> None:
    def learned(differentiated: bool) -> Tensor:
        layer = line()

        def step(share: Share) -> Step:
            found = squared(layer, share)
            if differentiated:
                (found.loss / share.shares.count).backward()
                return found._replace(loss=found.loss.detach(), differentiated=True)
            return found

        fit(layer, adam(layer), step, shares(2), ITERATIONS, rate=halves, clip=CLIP)
        return layer.weight.detach()

    assert torch.equal(learned(True), learned(False))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_any_more_is_told(number: float) -> None:
    layer = line()

    def step(share: Share) -> Step:
        return Step(layer.weight.sum() * (number if share.iteration == 4 else 1.0), {})

    with pytest.raises(InputError, match="no number any more at iteration 5; use a lower learning_rate"):
        fit(layer, adam(layer), step, shares(), ITERATIONS, rate=halves, clip=CLIP)


def test_the_rate_falls_along_a_cosine() -> None:
    assert [falling(angle, 0.2) for angle in (-3.0, 0.0)] == [1.0, 1.0]
    assert falling(math.pi / 2.0, 0.2) == pytest.approx(0.6) and falling(math.pi, 0.2) == pytest.approx(0.2)
