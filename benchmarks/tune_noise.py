"""Measures how noisy the estimators of fine-tuning are: on whole tabletops, with the same seeds.

python benchmarks/tune_noise.py --weights tabletop --json tune_noise.json
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from air3d.cli.json_file import write_json
from air3d.datasets.provenance import provenance
from air3d.estimators.common import gradient_moments
from air3d.renderers.choice import make_renderer
from air3d.scene3d.prior import ScenePrior
from air3d.scenes.elbo import Problem
from air3d.scenes.learner import ESTIMATORS, EstimatorConfig, Learner
from air3d.scenes.painter import to_pixels
from air3d.scenes.store import load_model


def measure(weights: str, images: int, samples: int, draws: int, seed: int) -> list[dict[str, Any]]:
    """Measure a row for each estimator: gradients from the same `draws` batches of samples of the same images."""
    model, rows = load_model(weights).model, []
    with make_renderer(model.render_config) as renderer:
        scenes = ScenePrior(model.prior).sample_batch(np.random.default_rng(seed), images)
        pixels, painter = to_pixels(renderer.render(scenes)), model.painter(renderer)
        for name in (name for name, estimator in ESTIMATORS.items() if estimator.alone is None):
            learner, gradients = Learner(model, EstimatorConfig(name, samples)), list[Tensor]()
            fresh = Problem(painter, pixels, model.likelihood, None, 0.0, torch.Generator().manual_seed(seed))
            learner.step(fresh)  # lr-nvil measures its scale first
            begin = time.perf_counter()
            for draw in range(draws):
                generator = torch.Generator().manual_seed(seed + draw)
                model.guide.zero_grad(set_to_none=True)
                step = learner.step(fresh._replace(generator=generator))
                step.loss.backward()
                found = [p.grad for p in model.guide.parameters() if p.grad is not None]
                gradients.append(torch.cat([gradient.flatten() for gradient in found]))
            moments = gradient_moments(torch.stack(gradients))
            rows.append(
                {
                    "estimator": name,
                    "variance": float(moments.variance),
                    "signal_to_noise": float(moments.signal_to_noise),
                    "renders": step.renders,
                    "seconds": (time.perf_counter() - begin) / draws,
                }
            )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="tabletop")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--draws", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rows = measure(args.weights, args.images, args.samples, args.draws, args.seed)
    print("| estimator | gradient variance | signal to noise | renders | seconds |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        numbers = f"{row['variance']:.3g} | {row['signal_to_noise']:.2f} | {row['renders']} | {row['seconds']:.2f}"
        print(f"| {row['estimator']} | {numbers} |")
    if args.json is not None:
        write_json(args.json, {"rows": rows, **provenance()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
