"""Infers images with a trained model: the mode of the guide, and samples for the bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from air3d.digits.air import WHERE, Air, draw_noise
from air3d.digits.cae import Cae
from air3d.digits.dair import Dair
from air3d.digits.draw import Draw
from air3d.digits.objective import terms
from air3d.digits.store import Model
from air3d.networks.plain_torch import plain_torch
from air3d.scene3d.errors import InputError

_CHUNK = 256


class Inferred(NamedTuple):
    """Answers for B images.

    Attributes:
        reconstructions: (B, S, S) float32, may exceed 1 where objects overlap.
        counts: (B,) int64, the number of objects; None for models without objects, as are the next two.
        z_where: (B, N, 3), windows of all steps, the first `counts` of them in use (`air3d.digits.windows`).
        objects: (B, N, S, S), each object on an empty canvas, zero beyond the count.
    """

    reconstructions: NDArray[np.float32]
    counts: NDArray[np.int64] | None
    z_where: NDArray[np.float32] | None
    objects: NDArray[np.float32] | None


@plain_torch()
def infer(model: Model, images: NDArray[np.uint8]) -> Inferred:
    """Infer the mode for images (B, S, S) uint8: every step at its mean, the most probable count."""
    with torch.no_grad():
        return concatenate([_infer(model, chunk) for chunk in chunks(model, images)])


def concatenate(parts: list[Inferred]) -> Inferred:
    """Join answers of one model, at least one part."""
    pictures = np.concatenate([part.reconstructions for part in parts])
    counts = [part.counts for part in parts if part.counts is not None]
    z_where = [part.z_where for part in parts if part.z_where is not None]
    objects = [part.objects for part in parts if part.objects is not None]
    if not counts:
        return Inferred(pictures, None, None, None)
    return Inferred(pictures, np.concatenate(counts), np.concatenate(z_where), np.concatenate(objects))


@plain_torch()
def elbo(model: Model, images: NDArray[np.uint8], samples: int, seed: int) -> NDArray[np.float32] | None:
    """Estimate the bound (B,), nats: the mean over draws of the continuous latents; None for the autoencoder.

    Raises:
        InputError: if `samples` is below 1.
    """
    if samples < 1:
        raise InputError(f"model: samples is {samples}; draw 1 or more for each image")
    if isinstance(model, Cae):
        return None
    generator = torch.Generator(_device(model)).manual_seed(seed)
    with torch.no_grad():
        bounds = [
            torch.stack([_elbo(model, chunk, generator) for _ in range(samples)]).mean(0)
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


def _infer(model: Model, pixels: Tensor) -> Inferred:
    batch = len(pixels)
    if isinstance(model, Cae):
        return Inferred(model(pixels).cpu().numpy(), None, None, None)
    if isinstance(model, Draw):
        noise = pixels.new_zeros(batch, model.config.steps, model.config.code)
        return Inferred(model(pixels, noise).picture.cpu().numpy(), None, None, None)
    config = model.config
    trace = model(pixels, pixels.new_zeros(batch, config.steps, WHERE + config.what))
    counts = terms(pixels, trace, config).log_q_count.argmax(1)
    used = torch.arange(config.steps, device=pixels.device) < counts[:, None]
    objects = trace.objects * used[:, :, None, None]
    return Inferred(*(part.cpu().numpy() for part in (objects.sum(1), counts, trace.z_where, objects)))


def _elbo(model: Air | Dair | Draw, pixels: Tensor, generator: torch.Generator) -> Tensor:
    if isinstance(model, Draw):
        shape = (len(pixels), model.config.steps, model.config.code)
        return model.elbo(pixels, model(pixels, torch.randn(shape, generator=generator, device=pixels.device)))
    return terms(pixels, model(pixels, draw_noise(model.config, len(pixels), generator)), model.config).elbo


def _device(model: Model) -> torch.device:
    return next(model.parameters()).device
