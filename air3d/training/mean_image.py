"""The mean image of a training, which a network subtracts from what it sees."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from air3d.scenes.painter import Painter
from air3d.scenes.sleep import Scenes, dream


def mean_image(chunks: Iterable[Tensor]) -> Tensor:
    """Average images that come in chunks (n, ...), in float64: (...)."""
    count, total = 0, torch.zeros((), dtype=torch.float64)
    for chunk in chunks:
        count, total = count + len(chunk), total + chunk.double().sum(0)
    return total / count


def mean_dream(
    painter: Painter, number: int, seed: int, min_visible: float = 0.0, scenes: Scenes | None = None
) -> Tensor:
    """Average so many dreams (3, S, S), which no training step, no dataset and no other seed has."""
    return dream(painter, number, np.random.default_rng((seed, 0, 1)), min_visible, scenes)[0].mean(0)
