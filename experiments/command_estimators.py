"""`air3d bench estimators`: variance and signal-to-noise of every gradient estimator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from air3d.cli.arguments import OptionalFile
from air3d.cli.json_file import write_json
from air3d.cli.progress import say
from air3d.provenance import provenance
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import single_prior
from experiments.estimator_noise import measure_noise


@dataclass(frozen=True)
class EstimatorArgs:
    """Measure how noisy each gradient estimator is on the single-object problem.

    A guide is trained with `lr` and stopped at each stage; every estimator's gradient for the same images is then
    drawn again and again. lr, lr-kind, lr-nvil and fd estimate the gradient of the ELBO, vimco of the 16-sample bound,
    rws and mixture of an inclusive KL: compare their noise, not their variances, across these.
    """

    stages: tuple[int, ...] = (50, 200, 500)
    """Iterations after which training is stopped and the noise measured, rising."""

    draws: int = 40
    """How many gradients are drawn of each estimator."""

    images: int = 2000
    """Images that the guide is trained on."""

    seed: int = 0
    """Seeds everything."""

    renderer: Backend = "auto"
    """The renderer; auto takes the fastest that works here, which `air3d doctor` shows."""

    json: OptionalFile = None
    """File to which the rows are written as JSON."""


def run(args: EstimatorArgs) -> int:
    """Measure; return 0 on success."""
    if args.draws < 2 or args.images < 1 or not args.stages or list(args.stages) != sorted(set(args.stages)):
        raise InputError("bench: use at least 2 draws, 1 image, and rising stages")
    if args.stages[0] < 1:
        raise InputError(f"bench: stages start at {args.stages[0]}; use at least 1 iteration")
    rows = []
    make = partial(make_renderer, backend=args.renderer)
    for row in measure_noise(single_prior(), make, args.stages, args.draws, args.images, args.seed):
        rows.append(row)
        say(f"after {row.stage} iterations, {row.estimator}: signal-to-noise {row.signal_to_noise:.3f}")
    write_json(args.json, {"rows": [row._asdict() for row in rows], "provenance": provenance()})
    table = Table("stage", "estimator", "renders", "ms", "variance", "S/N of one", "S/N per 1,000 renders", "S/N per s")
    for row in rows:
        numbers = (f"{row.milliseconds:.0f}", f"{row.variance:.3g}", f"{row.signal_to_noise:.3f}")
        spent = (f"{row.per_1000_renders:.3f}", f"{row.per_second:.3f}")
        table.add_row(str(row.stage), row.estimator, str(row.renders), *numbers, *spent)
    Console().print(table)
    return 0
