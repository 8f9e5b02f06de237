"""z_pres, which says of each step whether there is an object: its prior, and the count that it amounts to.

A step's z_pres = 0 ends the scene, so N of them are the number of objects written in unary (Eslami et al. 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from air3d.scene3d.errors import InputError


@dataclass(frozen=True)
class CountPrior:
    """A geometric prior of the number of objects, cut off at N and normalised.

    p(n) = rho^n / sum_m rho^m for n = 0 .. N (Eslami et al. 2016, equation 2, truncated).

    rho may be annealed: its logarithm moves linearly from that of `start` to that of `success` while training goes on
    to the share `anneal` of its iterations. A high value at first lets objects be tried out before they pay.

    Attributes:
        success: rho in the end; above 1 it favours many objects.
        start: rho at the beginning.
        anneal: the share of the training in which it changes, 0 for none.
    """

    success: float = 1e-8
    start: float = 0.5
    anneal: float = 0.0

    def __post_init__(self) -> None:
        for name in ("success", "start"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise InputError(f"count prior: {name} is {value}; it must be positive")
        if not 0.0 <= self.anneal <= 1.0:
            raise InputError(f"count prior: anneal is {self.anneal}; it must lie between 0 and 1")

    def log_success(self, progress: float = 1.0) -> float:
        """log rho when the share `progress` of the training is done."""
        done = 1.0 if self.anneal == 0.0 else min(progress / self.anneal, 1.0)
        return (1.0 - done) * math.log(self.start) + done * math.log(self.success)

    def log_prob(self, most: int, progress: float = 1.0) -> Tensor:
        """log p(n) for n = 0 .. most, (most + 1,) float64."""
        counts = torch.arange(most + 1, dtype=torch.float64)
        return torch.log_softmax(counts * self.log_success(progress), 0)


def count_log_probs(presence_logits: Tensor) -> Tensor:
    """log q(n) for n = 0..N, (..., N + 1), from logits (..., N) of "there is an n-th object, given n - 1 before it"."""
    present = torch.cumsum(logsigmoid(presence_logits), -1)
    before = torch.cat([torch.zeros_like(present[..., :1]), present], -1)
    stop = torch.cat([logsigmoid(-presence_logits), torch.zeros_like(present[..., :1])], -1)
    return before + stop
