"""Tests frozen codes: do they tell the sum of two digits, and whether they ascend from left to right (Figure 8)?

A second network reads the code of every step with the same weights, then all of them together. AIR has an object in a
step, DRAW a stroke, the autoencoder has one step: each model's code is used as it is structured. AIR's says where every
object is, so it is read in a second way, too: from left to right, whatever order the objects were found in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from air3d.datasets.digits.reader import DigitsArrays
from air3d.digits.air import Air
from air3d.digits.infer import chunks, to_pixels
from air3d.digits.store import Model, ModelConfig, ModelName
from air3d.evaluation.figure import new_figure
from air3d.networks.precision import reduced
from air3d.scene3d.config_json import config_to_dict
from experiments.figures import COLOURS, png
from experiments.kept import Kept, Result, fingerprint
from experiments.multi_mnist.plan import HELD_OUT, Labels, Part
from experiments.multi_mnist.workbench import TRAININGS, Workbench, weights_fingerprint
from experiments.page import Results, Section
from experiments.tables import Run, grouped, header, number, row

PART: Part = "codes"
TITLE = "What the codes are good for"
TASKS = ("sum", "ascending")
CODES = ("air", "air, left to right", "draw", "cae", "cnn on pixels")
SUMS = 19  # 0 to 18


def run(bench: Workbench) -> None:
    """Train AIR, DRAW and an autoencoder without labels, then measure what their frozen codes are good for."""
    plan, models = bench.plan, dict[str, Model]()
    networks: dict[ModelName, ModelConfig] = {"air": plan.codes_air, "draw": plan.draw, "cae": plan.cae}
    for name, network in networks.items():
        how = replace(bench.how(0), iterations=plan.longer_air if name == "air" else plan.longer)
        models[name] = bench.trained(TRAININGS, f"{name}-two-digits", name, how, (2,), {HELD_OUT: (2,)}, {}, network)
    codes_study(models, bench.images("train", (2,)), bench.images("test", (2,)), plan.labels, bench.device, bench.kept)


def codes_study(
    models: dict[str, Model],
    train: DigitsArrays,
    test: DigitsArrays,
    plan: Labels,
    device: torch.device,
    kept: Kept,
) -> None:
    """Train a second network on every model's codes, and a CNN on pixels, for every number of labels and both tasks.

    Args:
        models: the models by name, trained without labels; they stay as they are.
        train, test: the images, of two digits.
        kept: keeps each accuracy as TASK-LABELS-NAME; only what is missing is made.

    Raises:
        InputError: if an accuracy that is there was made with other settings, data or weights.
    """
    how = {**config_to_dict(plan), "train": fingerprint(*train), "test": fingerprint(*test)}
    del how["sizes"]
    weights = {name: weights_fingerprint(model) for name, model in models.items()}
    inputs = {}
    for name, model in models.items():
        both = codes(model, train.images), codes(model, test.images)
        inputs[name] = _standardised(*both)
        if isinstance(model, Air):
            inputs[f"{name}, left to right"] = _standardised(*(left_to_right(part) for part in both))
    inputs["cnn on pixels"] = (
        to_pixels(torch.from_numpy(train.images).to(device))[:, None],
        to_pixels(torch.from_numpy(test.images).to(device))[:, None],
    )
    tasks = {"sum": (sums(train), sums(test), SUMS), "ascending": (ascending(train), ascending(test), 2)}

    def one(task: str, size: int, name: str) -> Result:
        labels, truth, classes = tasks[task]
        seen, held_out = inputs[name]
        network = _fitted(seen[:size], torch.from_numpy(labels[:size]).to(device), classes, plan)
        accuracy = float(np.mean(_answers(network, held_out) == truth))
        kept.say(f"{task} of {size} labels: {name} {accuracy:.4f}")
        return {"task": task, "labels": size, "code": name, "accuracy": accuracy}

    for task in tasks:
        for size in (size for size in plan.sizes if size <= len(train.images)):
            for name in inputs:
                settings = {**how, "labels": size, "weights": weights.get(name.split(",")[0])}
                kept.once(
                    PART,
                    f"{task}-{size}-{name.replace(',', '').replace(' ', '-')}",
                    settings,
                    partial(one, task, size, name),
                )


def sums(data: DigitsArrays) -> NDArray[np.int64]:
    """The sum (B,) of both digits."""
    return np.asarray(data.digits.sum(axis=1))


def ascending(data: DigitsArrays) -> NDArray[np.int64]:
    """(B,): 1 where the digit whose ink's centre lies further left is the smaller one."""
    order = np.argsort(data.boxes[..., 0] + data.boxes[..., 2], axis=1, kind="stable")
    left_to_right = np.take_along_axis(data.digits, order, axis=1)
    return (left_to_right[:, 0] < left_to_right[:, 1]).astype(np.int64)


def codes(model: Model, images: NDArray[np.uint8]) -> Tensor:
    """The codes (B, T, D) of images, step by step, at the mode.

    AIR and DAIR: for each step whether it is in use, and its z_where and z_what, zero if not; DRAW: all z_t;
    the autoencoder: its code, T = 1.
    """
    with torch.no_grad():
        return torch.cat([model.codes(chunk) for chunk in chunks(model, images)])


def left_to_right(codes: Tensor) -> Tensor:
    """Sort AIR's codes (B, T, D): the objects in the order of their places, unused steps last."""
    used, x = codes[..., 0] > 0.0, codes[..., 2]
    order = torch.where(used, x, torch.full_like(x, torch.inf)).argsort(dim=1, stable=True)
    return codes.gather(1, order[..., None].expand_as(codes))


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, spread = train.mean(0), train.std(0)
    # Numbers that hardly vary, as of latents that are not in use, stay small.
    spread = spread.clamp_min(0.5 * float(spread.square().mean().sqrt()) + 1e-6)
    return (train - mean) / spread, (test - mean) / spread


def _reader(inputs: Tensor, hidden: int, classes: int) -> nn.Module:
    """Make the network for codes (B, T, D), or for images (B, 1, S, S)."""
    if inputs.ndim == 4:
        small = -(-inputs.shape[-1] // 8)
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(64 * small**2, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, classes)),
        )
    steps, values = inputs.shape[1:]
    each = max(hidden // steps, 1)
    return nn.Sequential(
        *(nn.Linear(values, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.1)),
        *(nn.Linear(hidden, each), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(steps * each, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, classes)),
    )


def _fitted(inputs: Tensor, labels: Tensor, classes: int, plan: Labels) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the weights, and of dropout
        return _fit(_reader(inputs, plan.hidden, classes).to(inputs.device), inputs, labels, plan)


def _fit(network: nn.Module, inputs: Tensor, labels: Tensor, plan: Labels) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4, fused=True)
    iterations = max(plan.iterations, plan.epochs * len(inputs) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, plan.learning_rate, iterations, pct_start=0.1)
    network.train()
    for _ in range(iterations):
        index = torch.randint(len(inputs), (plan.batch,), generator=generator).to(inputs.device)
        with reduced("bfloat16", inputs.device):
            logits = network(inputs[index])
        loss = cross_entropy(logits.float(), labels[index])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return network.eval()


def _answers(network: nn.Module, inputs: Tensor) -> NDArray[np.int64]:
    with torch.no_grad():
        return torch.cat([network(part).argmax(1) for part in inputs.split(1000)]).cpu().numpy()


def section(results: Results, kept: Kept) -> Section:
    """Write the section of the page."""
    page, runs = Section(), results[PART]
    page.text("One training of each model (one seed), and one of each network that reads its codes.")
    names = [name for name in CODES if any(run["code"] == name for run in runs)]
    lines = header("task", "labels", *names)
    rows = sorted(runs, key=lambda run: (TASKS.index(run["task"]), run["labels"]))
    for (task, labels), group in grouped(rows, "task", "labels").items():
        found = {run["code"]: 100.0 * run["accuracy"] for run in group}
        lines.append(row(task, labels, *(number(found.get(name), "{:.2f} %") for name in names)))
    page.text(*lines)
    page.figure("codes.png", lambda: _curves(rows, names), "Accuracy against the number of labels")
    return page


def _curves(runs: Sequence[Run], names: Sequence[str]) -> bytes:
    """Draw, as PNG, accuracy against labels, a plot for each task and a line for each name of a code.

    Args:
        runs: the runs in the order of their tasks and labels.
    """
    tasks = grouped(runs, "task")
    figure = new_figure(4.5 * len(tasks), 3.6)
    plots = figure.subplots(1, len(tasks), squeeze=False)[0]
    for plot, ((task,), own) in zip(plots, tasks.items(), strict=True):
        for name, colour in zip(names, COLOURS, strict=False):
            line = [(run["labels"], run["accuracy"]) for run in own if run["code"] == name]
            plot.plot(*zip(*line, strict=True), "o-", color=colour, markersize=3, label=name)
        plot.set_xscale("log")
        plot.set_xlabel("labelled images")
        plot.set_title(task)
    plots[0].set_ylabel("test accuracy")
    plots[0].legend(frameon=False)
    return png(figure)
