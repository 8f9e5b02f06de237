"""What a frozen code is good for: the sum of two digits, and whether they ascend from left to right (Figure 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from air3d.digits.air import WHERE
from air3d.digits.cae import Cae
from air3d.digits.draw import Draw
from air3d.digits.inference import chunks, to_pixels
from air3d.digits.models import Model
from air3d.estimators.counts import count_log_probs
from datasets.digits.reader import DigitsArrays

SUMS = 19  # 0 to 18


@dataclass(frozen=True)
class Labels:
    """The study.

    Attributes:
        sizes: numbers of labelled images; those beyond the training set are left out.
        iterations: of each second network.
        batch: images in a step.
        hidden: units of each of its two hidden layers.
        learning_rate: Adam's.
    """

    sizes: tuple[int, ...] = (100, 300, 1000, 3000, 10_000, 60_000)
    iterations: int = 1200
    batch: int = 128
    hidden: int = 512
    learning_rate: float = 1e-3


def codes_study(
    models: dict[str, Model],
    train: DigitsArrays,
    test: DigitsArrays,
    plan: Labels,
    device: torch.device,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train a second network on every model's codes, and a CNN on pixels, for every number of labels and both tasks.

    Args:
        models: trained without labels, by name; they stay as they are.
        train, test: images of two digits.
    """
    inputs = {
        name: _standardised(codes(model, train.images), codes(model, test.images)) for name, model in models.items()
    }
    pixels = (
        to_pixels(torch.from_numpy(train.images).to(device)),
        to_pixels(torch.from_numpy(test.images).to(device)),
    )
    tasks = {"sum": (sums(train), sums(test), SUMS), "ascending": (ascending(train), ascending(test), 2)}
    rows = []
    for task, (labels, truth, classes) in tasks.items():
        for size in (size for size in plan.sizes if size <= len(train.images)):
            row: dict[str, Any] = {"task": task, "labels": size}
            for name, (known, held_out) in {**inputs, "cnn on pixels": pixels}.items():
                network = (
                    _cnn(known.shape[-1], classes) if known.ndim == 3 else _mlp(known.shape[1], plan.hidden, classes)
                )
                found = _fit(network.to(device), known[:size], torch.from_numpy(labels[:size]).to(device), plan)
                row[name] = float(np.mean(_answers(found, held_out) == truth))
            say(
                f"{task} of {size} labels: "
                + ", ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("task", "labels"))
            )
            rows.append(row)
    return rows


def sums(data: DigitsArrays) -> NDArray[np.int64]:
    """(B,) sum of both digits."""
    return np.asarray(data.digits.sum(axis=1))


def ascending(data: DigitsArrays) -> NDArray[np.int64]:
    """(B,) 1 where the digit whose ink's centre lies further left is the smaller one."""
    order = np.argsort(data.boxes[..., 0] + data.boxes[..., 2], axis=1, kind="stable")
    left_to_right = np.take_along_axis(data.digits, order, axis=1)
    return (left_to_right[:, 0] < left_to_right[:, 1]).astype(np.int64)


def codes(model: Model, images: NDArray[np.uint8]) -> Tensor:
    """(B, D) what a model says about images in numbers, at the mode.

    AIR and DAIR: for each step whether it is in use, and its z_where and z_what, zero if not; DRAW: all z_t;
    the autoencoder: its code.
    """
    with torch.no_grad():
        return torch.cat([_codes(model, chunk) for chunk in chunks(model, images)])


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, spread = train.mean(0), train.std(0).clamp_min(1e-3)
    return (train - mean) / spread, (test - mean) / spread


def _codes(model: Model, pixels: Tensor) -> Tensor:
    if isinstance(model, Cae):
        return model.encode(pixels)
    config = model.config
    if isinstance(model, Draw):
        return model(pixels, pixels.new_zeros(len(pixels), model.config.steps, model.config.code)).codes.flatten(1)
    trace = model(pixels, pixels.new_zeros(len(pixels), config.steps, WHERE + model.config.what))
    counts = count_log_probs(trace.presence).argmax(1)
    used = (torch.arange(config.steps, device=pixels.device) < counts[:, None]).to(pixels)[..., None]
    return torch.cat([used, used * trace.z_where, used * trace.z_what], -1).flatten(1)


def _mlp(inputs: int, hidden: int, classes: int) -> nn.Module:
    layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(hidden, classes))


def _cnn(side: int, classes: int) -> nn.Module:
    small = -(-side // 8)
    return nn.Sequential(
        nn.Unflatten(1, (1, side)),
        *(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64 * small**2, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, classes)),
    )


def _fit(network: nn.Module, inputs: Tensor, labels: Tensor, plan: Labels) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, weight_decay=1e-5, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, plan.iterations)
    network.train()
    for _ in range(plan.iterations):
        index = torch.randint(len(inputs), (plan.batch,), generator=generator).to(inputs.device)
        loss = cross_entropy(network(inputs[index]), labels[index])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return network.eval()


def _answers(network: nn.Module, inputs: Tensor) -> NDArray[np.int64]:
    with torch.no_grad():
        return torch.cat([network(part).argmax(1) for part in inputs.split(1000)]).cpu().numpy()
