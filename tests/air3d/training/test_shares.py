"""Shares of a batch: how they are dealt out, what they draw, and that their mean is the step on the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest
import torch
from torch import Tensor

from air3d.digits.cae import Cae, CaeConfig
from air3d.digits.infer import to_pixels
from air3d.digits.learner import make_learner
from air3d.digits.store import make_model
from air3d.digits.train import DigitsTrainConfig
from air3d.scene3d.errors import InputError
from air3d.training.config import TabletopTrainConfig, TrainConfig, recommended_for
from air3d.training.processes import ALONE, Processes, processes
from air3d.training.shares import RunningMeans, Shares


def shares(count: int, rank: int = 0, of: int = 1, seed: int = 0) -> Shares:
    return Shares(count, seed, torch.Generator().manual_seed(seed), Processes(rank, of))


def test_every_share_has_one_process() -> None:
    for count, of in ((1, 1), (4, 1), (4, 2), (6, 3)):
        dealt = [list(shares(count, rank, of).own) for rank in range(of)]
        assert list(chain(*dealt)) == list(range(count))
        assert {len(own) for own in dealt} == {count // of}
    assert 0 in shares(4, 0, 2).own, "share 0 goes with the process that writes checkpoints"


def test_what_cannot_be_divided_is_refused() -> None:
    with pytest.raises(InputError, match=r"3 processes cannot divide shares 4 .* --train\.shares 3"):
        shares(4, 0, 3)
    for config in (TrainConfig, DigitsTrainConfig, TabletopTrainConfig):
        with pytest.raises(InputError, match="batch 30 cannot be split into 4 equal shares"):
            config(batch=30, shares=4)
        with pytest.raises(InputError, match="shares is 0"):
            config(shares=0)
    wake = recommended_for("wake").wake
    with pytest.raises(InputError, match="camera_only 32 cannot be split into 3"):
        TabletopTrainConfig(phase="wake", batch=3, shares=3, wake=wake)
    with pytest.raises(InputError, match="dreams 32 cannot be split into 3"):
        TabletopTrainConfig(phase="tune", batch=3, shares=3, dreams=32)


def test_a_share_draws_the_same_wherever_it_is_computed() -> None:
    def drawn(of: int) -> dict[tuple[int, int], tuple[Tensor, float]]:
        found = {}
        for rank in range(of):
            own = shares(4, rank, of)
            for iteration in range(3):
                for share in own.own:
                    numbers = torch.rand(3, generator=own.generator(share, iteration))
                    found[iteration, share] = numbers, float(own.rng(share, iteration).random())
        return found

    alone, spread = drawn(1), drawn(4)
    assert alone.keys() == spread.keys()
    assert all(torch.equal(a, spread[key][0]) and b == spread[key][1] for key, (a, b) in alone.items())
    assert len({tuple(a.tolist()) for a, _ in alone.values()}) == 12, "no two steps or shares draw the same"
    assert len({b for _, b in alone.values()}) == 12


def test_one_share_draws_from_the_generator_of_the_run() -> None:
    """And from numpy's stream of (seed, iteration): what a run drew before there were shares."""
    own = shares(1, seed=5)
    plain = torch.Generator().manual_seed(5)
    for iteration in range(2):
        assert torch.equal(torch.rand(4, generator=own.generator(0, iteration)), torch.rand(4, generator=plain))
        assert own.rng(0, iteration).random() == np.random.default_rng((5, iteration)).random()


def test_the_mean_over_shares_is_the_whole_batch() -> None:
    """For a loss that is a mean over images, which the autoencoder's is and which draws nothing."""
    model = make_model("cae", CaeConfig(12, channels=(4,), code=5), seed=0)
    assert isinstance(model, Cae)
    learner = make_learner(model, "exact", "float32")
    images = to_pixels(torch.randint(256, (12, 12, 12), generator=torch.Generator().manual_seed(1)).to(torch.uint8))

    def gradient(parts: Sequence[Tensor]) -> tuple[Tensor, float]:
        model.zero_grad()
        own = shares(len(parts))
        losses = []
        for share in own.own:
            step = learner.step(parts[share])
            (step.loss / own.count).backward()
            losses.append({"loss": float(step.loss.detach())})
        own.sum_gradients(model.parameters())
        flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return flat, own.mean_record(losses)["loss"]

    whole, loss = gradient([images])
    for count in (2, 3, 4):
        split, mean = gradient(images.chunk(count))
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)
        assert mean == pytest.approx(loss, rel=1e-5)


def test_running_statistics_are_averaged_from_one_start() -> None:
    """Each share adds its own number to the buffer; the mean of 10 + 1, 10 + 3, 10 + 8 is 14."""
    buffer = torch.tensor(10.0)
    means = RunningMeans(shares(3), [buffer])
    for number in (1.0, 3.0, 8.0):
        assert float(buffer) == 10.0
        buffer.add_(number)
        means.keep()
    means.finish()
    assert float(buffer) == 14.0


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with processes() as joined:
        assert joined == ALONE and joined.first
        assert not torch.distributed.is_initialized()
