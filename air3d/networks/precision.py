"""The precision that a training computes in."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def reduced(precision: Precision, device: torch.device) -> torch.autocast:
    """Give the context in which a model computes: "bfloat16" makes its matrix products use bfloat16.

    Weights, their gradients' sums, samples, places and densities stay in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
