"""Computes gradients of a training step whose launches are recorded once, as a CUDA graph, and replayed.

A step of the 2D track is some hundred small kernels; launched one by one they take several times as long to launch as
to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from air3d.digits.learner import Learner
from air3d.training.loop import Step

# Steps that are launched as they are first: libraries choose their kernels and make their workspaces in them.
_WARM_UP = 3
# Of the length of the gradient; kernels that add in another order differ by less, a wrong recording by much more.
_TOLERANCE = 0.02


class _Recording(NamedTuple):
    """A call that does the step again, and the tensors that it reads and fills."""

    replay: Callable[[], None]
    inputs: list[Tensor]
    step: Step
    gradients: list[Tensor | None]


class Gradients:
    """Computes a learner's loss and adds the gradients to its parameters' `grad`.

    A recording is checked against the step itself before it is used. If it disagrees, or if the device refuses to
    record, everything is launched as it is.

    Args:
        learner: the learner; its random numbers and schedule come with the inputs, since a recording repeats those
            that it was given.
        parts: divides the loss.
        record: says whether to record; then only one share a step may be added, to parameters without gradients.

    Attributes:
        recording: says whether steps are recorded, or will be; it falls to False if that fails.
        replays: the number of steps that were replayed.
    """

    def __init__(self, learner: Learner, parts: int, record: bool) -> None:
        self._learner, self._parts = learner, parts
        self._parameters = list(learner.parameters())
        self._recording: _Recording | None = None
        self._done = 0
        self.recording, self.replays = record, 0

    def add(self, *inputs: Tensor) -> Step:
        """Do the step for images and `Learner.draw`'s tensors; return it detached."""
        self._done += 1
        if self.recording and self._recording is None and self._done > _WARM_UP:
            self._recording = self._record(inputs)
            self.recording = self._recording is not None
        if self._recording is None:
            return self._launch(inputs)
        for held, new in zip(self._recording.inputs, inputs, strict=True):
            held.copy_(new)
        self._recording.replay()
        self.replays += 1
        for parameter, gradient in zip(self._parameters, self._recording.gradients, strict=True):
            parameter.grad = gradient
        return self._recording.step

    def _launch(self, inputs: Sequence[Tensor]) -> Step:
        step = self._learner.step(*inputs)
        (step.loss / self._parts).backward()
        # Detached: what is left of one step's graph must not tie the next one to this stream.
        return step._replace(loss=step.loss.detach())

    def _record(self, inputs: Sequence[Tensor]) -> _Recording | None:
        """Make a recording, if it does the same as the step. Leaves no gradients."""
        held = [given.clone() for given in inputs]
        with on_side_stream():
            expected_loss = self._launch(held).loss
            expected = [None if p.grad is None else p.grad.clone() for p in self._parameters]
        self._clear()
        try:
            replay, step = record(lambda: self._launch(held))
        except RuntimeError:
            self._clear()
            return None
        gradients = [p.grad for p in self._parameters]
        self._clear()
        replay()
        if not (_alike(gradients, expected) and _alike([step.loss], [expected_loss])):
            return None
        return _Recording(replay, held, step, gradients)

    def _clear(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


def can_record(device: torch.device) -> bool:
    """Tell whether steps on a device can be recorded."""
    return device.type == "cuda"


def record(launch: Callable[[], Step]) -> tuple[Callable[[], None], Step]:
    """Record the launches of `launch` as a call that does them again, with the tensors that will hold the results.

    Raises:
        RuntimeError: if it does something that cannot be recorded, such as copying from or to the host.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step = launch()
    return graph.replay, step


@contextmanager
def on_side_stream() -> Iterator[None]:
    """Send launches inside to a stream that is not the usual one, as a recording's will be."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _alike(found: Sequence[Tensor | None], wanted: Sequence[Tensor | None]) -> bool:
    """Tell whether the tensors, as two long vectors, are nearly equal, and both have the same gaps."""
    if [tensor is None for tensor in found] != [tensor is None for tensor in wanted]:
        return False
    a, b = (torch.cat([t.reshape(-1) for t in tensors if t is not None]) for tensors in (found, wanted))
    return bool((a - b).norm() <= _TOLERANCE * b.norm())
