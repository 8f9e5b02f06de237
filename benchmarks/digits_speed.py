"""Measures how fast AIR trains: this project's, Pyro's AIR example and an implementation step by step, in one run.

    git clone --branch 1.9.1 https://github.com/pyro-ppl/pyro && pip install pyro-ppl==1.9.1
    python benchmarks/digits_speed.py --threads 1 --pyro-example pyro/examples/air --json rows.json
    python benchmarks/digits_speed.py --device cuda --batch 256 --json rows.json

Pyro's example is run as it is: its own `air.py` is imported from the folder that is named, and trained as its `main.py`
does, with the options that its tutorial recommends; besides, without the checks that Pyro makes of every argument. The
other rival is written here in plain torch, with the same sizes and steps: in every step the LSTM cells of guide and
baseline read the whole image again, a window is read with `grid_sample`, encoded, decoded and drawn; the count is
drawn, its gradient is the score function with the learned baseline; Adam as torch's default. All see the same images,
composites of 50x50 pixels: batch 64, LSTM 256, windows 28x28, z_what 50, three steps.

On CUDA this project's steps are recorded and replayed, as in training; there 60,000 divided by its images per second
are the seconds of an epoch.

All take turns in short rounds, so that whatever else runs on the machine slows all down; with one thread of a CPU it is
processor time that is counted. Reported are images per second, the median over all rounds, and median, least and
greatest of the rounds' ratios to each rival.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, relu, softplus

from air3d.cli.json_file import write_json
from air3d.datasets.digits.compose import compose
from air3d.datasets.digits.config import PRESETS, DigitsConfig
from air3d.datasets.digits.sources import Source, load_digits
from air3d.datasets.provenance import provenance
from air3d.digits.latents import AirConfig
from air3d.digits.learner import make_learner
from air3d.digits.step_graph import Gradients, can_record
from air3d.digits.store import make_model
from air3d.digits.train import DigitsTrainConfig, make_optimiser
from air3d.scene3d.errors import InputError

Step = Callable[[Tensor, int], None]  # images (M, S, S) to draw from, and how many of them
Clock = Callable[[], float]

CANVAS, WINDOW, STEPS, HIDDEN, WHAT = 50, 28, 3, 256, 50
SIGMA, PRESENT = 0.3, 0.01


class StepByStep(nn.Module):
    """AIR with everything recomputed in each step."""

    def __init__(self) -> None:
        super().__init__()
        inputs = CANVAS**2 + 1 + 3 + WHAT
        self.rnn, self.baseline_rnn = nn.LSTMCell(inputs, HIDDEN), nn.LSTMCell(inputs, HIDDEN)
        self.predict = nn.Sequential(nn.Linear(HIDDEN, 200), nn.ReLU(), nn.Linear(200, 7))
        self.baseline = nn.Sequential(nn.Linear(HIDDEN, 200), nn.ReLU(), nn.Linear(200, 1))
        self.encode_hidden, self.encode = nn.Linear(WINDOW**2, 200), nn.Linear(200, 2 * WHAT)
        self.decode_hidden, self.decode = nn.Linear(WHAT, 200), nn.Linear(200, WINDOW**2)

    def loss(self, images: Tensor) -> Tensor:
        """Compute a loss whose gradient is the paper's estimate, for images (B, S, S)."""
        batch = len(images)
        h, c, bh, bc = (images.new_zeros(batch, HIDDEN) for _ in range(4))
        z_pres, z_where, z_what = images.new_ones(batch, 1), images.new_zeros(batch, 3), images.new_zeros(batch, WHAT)
        canvas, kl = torch.zeros_like(images), images.new_zeros(batch)
        log_q, masks, baselines, cost = [], [], [], []
        for _ in range(STEPS):
            inputs = torch.cat([images.flatten(1), z_where, z_what, z_pres], 1)
            h, c = self.rnn(inputs, (h, c))
            bh, bc = self.baseline_rnn(inputs.detach(), (bh, bc))
            baselines.append(self.baseline(bh)[:, 0] * z_pres[:, 0])
            masks.append(z_pres[:, 0])
            out = self.predict(h)
            probability = torch.sigmoid(out[:, :1]) * z_pres
            drawn = torch.distributions.Bernoulli(probability).sample()
            before, z_pres = z_pres, drawn
            q_pres = torch.distributions.Bernoulli(probability.clamp(1e-6, 1 - 1e-6))
            log_q.append((q_pres.log_prob(drawn) * before)[:, 0])
            prior = torch.distributions.Bernoulli(torch.full_like(drawn, PRESENT))
            cost.append(log_q[-1].detach() - (prior.log_prob(drawn) * before)[:, 0])
            q_where = torch.distributions.Normal(out[:, 1:4], softplus(out[:, 4:]))
            z_where = q_where.rsample()
            glimpse = self.transform(images, self.inverse(z_where), WINDOW)
            loc, raw = self.encode(relu(self.encode_hidden(glimpse.flatten(1)))).chunk(2, 1)
            q_what = torch.distributions.Normal(loc, softplus(raw))
            z_what = q_what.rsample()
            decoded = torch.sigmoid(self.decode(relu(self.decode_hidden(z_what))) - 2.0)
            drawing = self.transform(decoded.view(batch, WINDOW, WINDOW), z_where, CANVAS)
            canvas = canvas + drawing * z_pres[:, :, None]
            p_where = torch.distributions.Normal(images.new_tensor([3.0, 0.0, 0.0]), images.new_tensor([0.1, 1.0, 1.0]))
            p_what = torch.distributions.Normal(torch.zeros_like(loc), torch.ones_like(loc))
            each = torch.distributions.kl_divergence(q_where, p_where).sum(1)
            kl = kl + z_pres[:, 0] * (each + torch.distributions.kl_divergence(q_what, p_what).sum(1))
        elbo = torch.distributions.Normal(canvas, SIGMA).log_prob(images).sum((1, 2)) - kl
        score = torch.zeros_like(elbo)
        for i in range(STEPS):
            reward = elbo.detach() - torch.stack(cost[i:]).sum(0)
            advantage = reward - baselines[i].detach()
            score = score + advantage * log_q[i] - masks[i] * (reward - baselines[i]).square()
        return -(elbo + score).mean()

    @staticmethod
    def inverse(z_where: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(z_where[:, :1]), -z_where[:, 1:]], 1) / z_where[:, :1]

    @staticmethod
    def transform(pictures: Tensor, z_where: Tensor, size: int) -> Tensor:
        batch, zero = len(pictures), torch.zeros_like(z_where[:, 0])
        scale, x, y = z_where.unbind(1)
        theta = torch.stack([scale, zero, x, zero, scale, y], 1).view(batch, 2, 3)
        grid = affine_grid(theta, [batch, 1, size, size], align_corners=False)
        return grid_sample(pictures[:, None], grid, align_corners=False)[:, 0]


def step_by_step(device: torch.device) -> Step:
    """Make a training step of the rival in plain torch."""
    model = StepByStep().to(device)
    with torch.no_grad():
        model.predict[2].bias.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0, -2.0, 0.0, 0.0]))
    baseline = [p for name, p in model.named_parameters() if name.startswith("baseline")]
    others = [p for name, p in model.named_parameters() if not name.startswith("baseline")]
    adam = torch.optim.Adam([{"params": others, "lr": 1e-4}, {"params": baseline, "lr": 1e-1}])

    def step(images: Tensor, batch: int) -> None:
        adam.zero_grad()
        model.loss(images[torch.randint(len(images), (batch,), device=device)]).backward()
        adam.step()

    return step


def pyros_own(example: Path, device: torch.device) -> tuple[dict[str, Step], dict[str, str]]:
    """Make a training step of Pyro's example, with Pyro's checks and without; say which Pyro and example that is.

    Raises:
        InputError: if either is missing.
    """
    try:
        import pyro
        from pyro.infer import SVI, TraceGraph_ELBO
    except ModuleNotFoundError:
        raise InputError("--pyro-example needs Pyro: pip install pyro-ppl==1.9.1") from None
    files = {name: example / name for name in ("air.py", "modules.py")}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise InputError(f"{missing[0]} is not there; name the folder examples/air of a checkout of Pyro")
    sys.path.insert(0, str(example))
    from air import AIR

    air = AIR(
        num_steps=STEPS,
        x_size=CANVAS,
        window_size=WINDOW,
        z_what_size=WHAT,
        rnn_hidden_size=HIDDEN,
        encoder_net=[200],
        decoder_net=[200],
        predict_net=[200],
        bl_predict_net=[200],
        decoder_output_bias=-2,
        decoder_output_use_sigmoid=True,
        scale_prior_sd=0.2,
        use_cuda=device.type == "cuda",
    )
    adam = pyro.optim.Adam(lambda name: {"lr": 1e-1 if "bl_" in name else 1e-4})
    svi = SVI(air.model, air.guide, adam, loss=TraceGraph_ELBO())

    def step(images: Tensor, batch: int) -> None:
        svi.step(images, batch_size=batch, z_pres_prior_p=lambda t: PRESENT)

    def unchecked(images: Tensor, batch: int) -> None:
        with pyro.validation_enabled(False):
            step(images, batch)

    known = {f"sha256 of {name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return {"pyro": step, "pyro without checks": unchecked}, {"pyro": pyro.__version__, **known}


def ours(config: DigitsTrainConfig, device: torch.device) -> Step:
    """Make a training step of `air3d train digits` with the same sizes."""
    model = make_model("air", AirConfig(CANVAS, WINDOW, STEPS, hidden=HIDDEN, what=WHAT), seed=0).to(device)
    learner = make_learner(model, config.estimator, config.precision, config.explore).to(device)
    adam, generator = make_optimiser(learner, config), torch.Generator(device).manual_seed(0)
    gradients = Gradients(learner, 1, record=can_record(device) and not learner.running)

    def step(images: Tensor, batch: int) -> None:
        adam.zero_grad()
        index = torch.randint(len(images), (batch,), generator=generator, device=device)
        gradients.add(images[index], *learner.draw(batch, 0.5, generator))
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        adam.step()

    return step


def composites(count: int, mnist_dir: Path | None) -> Tensor:
    """(count, 50, 50) images of 0 to 2 digits in [0, 1]: of scikit-learn's digits, or of MNIST's if they are named."""
    source: Source = "uci" if mnist_dir is None else "mnist"
    digits, look = load_digits(source, "train", mnist_dir), PRESETS["paper"]
    config = DigitsConfig(
        "paper",
        source,
        "train",
        digits.sha256,
        count,
        0,
        (0, 1, 2),
        CANVAS,
        look.shrink_mean,
        look.shrink_std,
        look.rule,
    )
    return torch.stack([torch.from_numpy(compose(config, digits, i).image) for i in range(count)]) / 255.0


def measure(
    variants: Mapping[str, Step], images: Tensor, batch: int, seconds: float, round_s: float, clock: Clock
) -> dict[str, list[float]]:
    """Measure images per second of every variant in every round."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for step in variants.values():
        for _ in range(8):
            step(images, batch)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, step in variants.items():
            start, steps = clock(), 0
            while clock() - start < round_s or steps < 2:
                step(images, batch)
                steps += 1
            if images.is_cuda:
                torch.cuda.synchronize()
            rates[name].append(batch * steps / (clock() - start))
    return rates


def table(rates: Mapping[str, list[float]], rivals: list[str]) -> dict[str, dict[str, Any]]:
    """Tabulate the median rate of every variant, the number of rounds, and their ratios to those of each rival."""
    return {
        name: {
            "images_per_second": statistics.median(values),
            "rounds": len(values),
            "times": {rival: _spread([a / b for a, b in zip(values, rates[rival], strict=True)]) for rival in rivals},
        }
        for name, values in rates.items()
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 0 on success, 2 if something that the user can mend is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--round", type=float, default=1.0, help="seconds of one variant in a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--mnist-dir", type=Path, help="MNIST's files; without it scikit-learn's digits are taken")
    parser.add_argument("--pyro-example", type=Path, help="folder examples/air of a checkout of Pyro")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    try:
        pyro, known = ({}, {}) if args.pyro_example is None else pyros_own(args.pyro_example, args.device)
        images = composites(512, args.mnist_dir).to(args.device)
    except InputError as error:
        print(f"digits_speed: {error}", file=sys.stderr)
        return 2
    rivals: dict[str, Step] = {**pyro, "step by step": step_by_step(args.device)}
    variants = {
        **rivals,
        "nvil": ours(DigitsTrainConfig(estimator="nvil"), args.device),
        "exact": ours(DigitsTrainConfig(estimator="exact"), args.device),
        "exact bfloat16": ours(DigitsTrainConfig(estimator="exact", precision="bfloat16"), args.device),
    }
    single = args.device.type == "cpu" and args.threads == 1
    clock = time.process_time if single else time.perf_counter
    rows = table(measure(variants, images, args.batch, args.seconds, args.round, clock), list(rivals))
    for name, row in rows.items():
        times = "".join(f"   {s['median']:5.2f} [{s['min']:.2f}, {s['max']:.2f}] {r}" for r, s in row["times"].items())
        print(f"{name:20}{row['images_per_second']:8.0f} images/s{times}")
    if args.json:
        facts = {
            "command": shlex.join(["python", *sys.argv]),
            "clock": "of the processor" if single else "of the wall",
            "threads": args.threads,
            "batch": args.batch,
            "device": str(args.device),
            **known,
        }
        write_json(args.json, {**facts, **provenance(), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
