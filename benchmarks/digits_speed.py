"""How fast AIR trains: this project's against a faithful implementation step by step, in one run.

The rival is written here in plain torch in the way of Pyro's AIR example (its sizes and its steps, none of its code):
in every step the LSTM cells of guide and baseline read the whole image again, a window is read with `grid_sample`,
encoded, decoded and drawn; the count is drawn, its gradient is the score function with the learned baseline; Adam as
torch's default. Images 50x50, batch 64, LSTM 256, windows 28x28, z_what 50, three steps.

    python benchmarks/digits_speed.py --seconds 20 --threads 2 --json rows.json
    python benchmarks/digits_speed.py --device cuda --batch 256 --json rows.json

On CUDA this project's steps are recorded and replayed, as in training; there 60,000 divided by its images per second
are the seconds of an epoch.

The two take turns in short rounds, so that whatever else runs on the machine slows both down; reported are images per
second over all rounds, and the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, relu, softplus

from air3d.digits.air import AirConfig
from air3d.digits.learner import make_learner
from air3d.digits.models import make_model
from air3d.provenance import provenance
from air3d.training.digits import make_optimiser
from air3d.training.digits_config import DigitsTrainConfig
from air3d.training.step_graph import Gradients, can_record

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
        """A loss whose gradient is the paper's estimate, images (B, S, S)."""
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


def step_by_step(device: torch.device) -> Callable[[Tensor], None]:
    """One training step of the rival."""
    model = StepByStep().to(device)
    with torch.no_grad():
        model.predict[2].bias.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0, -2.0, 0.0, 0.0]))
    baseline = [p for name, p in model.named_parameters() if name.startswith("baseline")]
    others = [p for name, p in model.named_parameters() if not name.startswith("baseline")]
    adam = torch.optim.Adam([{"params": others, "lr": 1e-4}, {"params": baseline, "lr": 1e-1}])

    def step(images: Tensor) -> None:
        adam.zero_grad()
        model.loss(images).backward()
        adam.step()

    return step


def ours(config: DigitsTrainConfig, device: torch.device) -> Callable[[Tensor], None]:
    """One training step of `air3d train digits` with the same sizes."""
    model = make_model("air", AirConfig(CANVAS, WINDOW, STEPS, hidden=HIDDEN, what=WHAT), seed=0).to(device)
    learner = make_learner(model, config.estimator, config.precision, config.explore).to(device)
    adam, generator = make_optimiser(learner, config), torch.Generator(device).manual_seed(0)
    gradients = Gradients(learner, 1, record=can_record(device) and not learner.running)

    def step(images: Tensor) -> None:
        adam.zero_grad()
        gradients.add(images, *learner.draw(len(images), 0.5, generator))
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        adam.step()

    return step


def measure(seconds: float, round_s: float, batch: int, device: torch.device) -> dict[str, dict[str, float]]:
    """Images per second of every variant, and the ratio to the rival."""
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(batch, CANVAS, CANVAS, generator=generator).to(device) for _ in range(8)]
    variants = {
        "step by step": step_by_step(device),
        "nvil": ours(DigitsTrainConfig(estimator="nvil"), device),
        "exact": ours(DigitsTrainConfig(estimator="exact"), device),
        "exact bfloat16": ours(DigitsTrainConfig(estimator="exact", precision="bfloat16"), device),
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for step in variants.values():
        for images in batches:
            step(images)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, step in variants.items():
            start, steps = time.perf_counter(), 0
            while time.perf_counter() - start < round_s or steps < 2:
                step(batches[steps % len(batches)])
                steps += 1
            if device.type == "cuda":
                torch.cuda.synchronize()
            rates[name].append(batch * steps / (time.perf_counter() - start))
    rival = rates["step by step"]
    return {
        name: {
            "images_per_second": statistics.median(values),
            "ratio": statistics.median(a / b for a, b in zip(values, rival, strict=True)),
            "rounds": len(values),
        }
        for name, values in rates.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--round", type=float, default=1.0, help="seconds of one variant in a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rows = measure(args.seconds, args.round, args.batch, args.device)
    for name, row in rows.items():
        print(f"{name:15}{row['images_per_second']:8.0f} images/s   ratio {row['ratio']:.2f}")
    if args.json:
        facts = {"threads": args.threads, "batch": args.batch, "device": str(args.device)}
        args.json.write_text(json.dumps({**facts, "rows": rows, **provenance()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
