"""Infers images with a trained model: the mode of the guide, and samples for the bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.digits.latents import Answer
from air3d.digits.store import Model
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.errors import InputError

_CHUNK = 256


class Inferred(NamedTuple):
    """Answers for B images: `air3d.digits.latents.Answer` as numpy arrays, pictures as float32."""

    reconstructions: NDArray[np.float32]
    counts: NDArray[np.int64] | None
    z_where: NDArray[np.float32] | None
    objects: NDArray[np.float32] | None


@plain_torch()
def infer(model: Model, images: NDArray[np.uint8]) -> Inferred:
    """Infer the mode for images (B, S, S) uint8: every step at its mean, the most probable count."""
    with torch.no_grad():
        answers = [model.mode(chunk) for chunk in chunks(model, images)]
    return concatenate([Inferred(*_arrays(answer)) for answer in answers])


def concatenate(answers: list[Inferred]) -> Inferred:
    """Join answers of one model, at least one."""
    joined: list[Any] = [None if part[0] is None else np.concatenate(part) for part in zip(*answers, strict=True)]
    return Inferred(*joined)


@plain_torch()
def elbo(model: Model, images: NDArray[np.uint8], samples: int, seed: int) -> NDArray[np.float32] | None:
    """Estimate the bound (B,), nats: the mean over draws of the continuous latents; None for the autoencoder.

    Raises:
        InputError: if `samples` is below 1.
    """
    if samples < 1:
        raise InputError(f"model: samples is {samples}; draw 1 or more for each image")
    if model.bound is None:
        return None
    generator = torch.Generator(_device(model)).manual_seed(seed)
    with torch.no_grad():
        bounds = [
            torch.stack([model.bound(chunk, generator) for _ in range(samples)]).mean(0)
            for chunk in chunks(model, images)
        ]
    return torch.cat(bounds).cpu().numpy()


def chunks(model: Model, images: NDArray[np.uint8], size: int = _CHUNK) -> list[Tensor]:
    """Yield images (B, S, S) uint8 as float32 in [0, 1] on the model's device, `size` at a time."""
    return [
        to_pixels(torch.from_numpy(images[i : i + size]).to(_device(model)))
        for i in range(0, max(len(images), 1), size)
    ]


def to_pixels(images: Tensor) -> Tensor:
    """Convert uint8 to float32 in [0, 1]."""
    return images.float() / 255.0


def _device(model: Model) -> torch.device:
    return next(model.parameters()).device


def _arrays(answer: Answer) -> list[Any]:
    return [None if part is None else part.cpu().numpy() for part in answer]
