"""Splits a batch into shares, and a step over processes, so that learning does not depend on their number.

A step on a batch of B images is the mean of the steps on `count` shares of B / count images, each a batch of its own
with random numbers of its own. A process computes some of the shares one after the other and adds up their gradients;
the processes' sums are added up in turn. So `count`, a part of a run's configuration, decides what is learned, and the
number of processes only where: a run may be stopped and resumed with another one. More shares than processes are
gradient accumulation, which bounds memory.

Why not torch's DistributedDataParallel: the gradient comes from several calls into a module (looks, steps, densities),
not one `forward`, and a process may have several shares. One sum of one flat tensor after the backward pass is all that
is left of it: gradients here are a few megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from air3d.scene3d.errors import InputError
from air3d.training.processes import Processes


def check_shares(shares: int, **sizes: int) -> None:
    """Raise InputError unless batches of these sizes, by name, can be split into so many shares."""
    if shares < 1:
        raise InputError(f"train: shares is {shares}; it must be at least 1")
    for name, size in sizes.items():
        if size % shares:
            raise InputError(f"train: {name} {size} cannot be split into {shares} equal shares; use a multiple")


class Shares:
    """The shares of every step of a run, and those that this process computes.

    Args:
        count: the number of shares.
        seed: the seed of the run.
        generator: the run's own, which goes on from step to step and is stored with the checkpoint. Share 0 draws from
            it, as a run of one share does; what the others draw in an iteration depends on (seed, iteration, share).
        processes: the processes of the run.

    Attributes:
        own: the numbers of the shares that this process computes.
        stream: `generator`.

    Raises:
        InputError: if the shares cannot be dealt out evenly.
    """

    def __init__(self, count: int, seed: int, generator: torch.Generator, processes: Processes) -> None:
        processes.check_shares(count)
        each = count // processes.count
        self.count, self.own = count, range(each * processes.rank, each * (processes.rank + 1))
        self.seed, self.stream, self.processes = seed, generator, processes

    def generator(self, share: int, iteration: int) -> torch.Generator:
        """The generator that share `share` draws from in a step."""
        if share == 0:
            return self.stream
        seed = int(np.random.SeedSequence((self.seed, iteration, 1 + share)).generate_state(1, np.uint64)[0])
        return torch.Generator(self.stream.device).manual_seed(seed >> 1)

    def rng(self, share: int, iteration: int) -> np.random.Generator:
        """Make a stream of numpy for the same, another one in every iteration."""
        return np.random.default_rng((self.seed, iteration, 1 + share) if share else (self.seed, iteration))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of the processes, each the sum over its own shares of loss / count."""
        if self.processes.count == 1:
            return
        parameters = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.processes.sum(flat)
        start = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
            parameter.grad = gradient
            start += gradient.numel()

    def mean(self, values: Sequence[Tensor]) -> Tensor:
        """Average one tensor of each share over all shares; `values` are those of this process's own, in order."""
        if self.count == 1:
            return values[0]
        total = torch.stack(list(values)).sum(0)
        self.processes.sum(total)
        return total / self.count

    def mean_record(self, records: Sequence[Mapping[str, float | Tensor]]) -> dict[str, float]:
        """Average numbers, by name, over all shares."""
        rows = [[float(value) for value in record.values()] for record in records]
        means = self.mean([torch.tensor(row, dtype=torch.float64) for row in rows])
        return dict(zip(records[0], means.tolist(), strict=True))


class RunningMeans:
    """Buffers with running statistics: every share updates them from where the last step left them, the mean is kept.

    Args:
        buffers: the buffers, changed in place, the same on all processes.
    """

    def __init__(self, shares: Shares, buffers: Sequence[Tensor]) -> None:
        self._shares, self._buffers = shares, list(buffers)
        self._before = [buffer.clone() for buffer in self._buffers]
        self._after: list[list[Tensor]] = [[] for _ in self._buffers]

    def keep(self) -> None:
        """Put aside, after a share, the values that it reached, and go back to the start."""
        for buffer, before, after in zip(self._buffers, self._before, self._after, strict=True):
            after.append(buffer.clone())
            buffer.copy_(before)

    def finish(self) -> None:
        """Take, after all shares, the mean of the values that they reached."""
        for buffer, after in zip(self._buffers, self._after, strict=True):
            buffer.copy_(self._shares.mean(after))
