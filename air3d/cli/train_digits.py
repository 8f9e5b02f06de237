"""`air3d train digits`: learn to explain images of several digits, from the images alone."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from air3d.cli.device import Device, choose_device
from air3d.cli.progress import ProgressReport, say, say_resumed
from air3d.datasets.digits.reader import DigitsDataset
from air3d.datasets.provenance import data_facts, provenance
from air3d.digits.cae import CaeConfig
from air3d.digits.draw import DrawConfig
from air3d.digits.latents import AirConfig
from air3d.digits.store import ModelConfig, ModelName
from air3d.digits.train import DigitsRunConfig, DigitsTrainConfig, new_model, train
from air3d.training.processes import Processes, processes
from air3d.training.run_folder import RunFolder


@dataclass(frozen=True)
class Args:
    """Learn to explain images of several digits, from the images of a dataset; its labels are not used.

    The same command again resumes an interrupted run, exactly. Several processes:
    torchrun --nproc-per-node N -m -- air3d train digits ... --train.shares N.

    Example: air3d train digits data/digits --out runs/air.
    """

    data: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATA")]]
    """Dataset made by `air3d generate digits`."""

    out: Path
    """Folder of the run: configuration, log, checkpoint, and the trained model in OUT/model."""

    model: ModelName = "air"
    """air; dair, AIR that sees what is not explained yet; or a rival: draw, cae (convolutional autoencoder)."""

    train: DigitsTrainConfig = field(default_factory=DigitsTrainConfig)
    """Parameters of the training."""

    air: AirConfig = field(default_factory=AirConfig)
    """Sizes and priors of air and dair."""

    draw: DrawConfig = field(default_factory=DrawConfig)
    """Sizes of draw."""

    cae: CaeConfig = field(default_factory=CaeConfig)
    """Sizes of cae."""

    device: Device = "auto"
    """The device that computes."""

    quiet: bool = False
    """Show no progress."""

    def network(self) -> ModelConfig:
        """The configuration of the chosen model."""
        if self.model == "draw":
            return self.draw
        return self.cae if self.model == "cae" else self.air


def run(args: Args) -> int:
    """Train, with torchrun's other processes if there are any; return 0 on success."""
    with processes() as joined:
        joined.check_shares(args.train.shares)
        return _train(args, joined)


def _train(args: Args, joined: Processes) -> int:
    config = DigitsRunConfig(args.model, args.network(), args.train)
    device = choose_device(args.device)
    dataset = DigitsDataset(args.data)
    images = torch.from_numpy(dataset.arrays().images)
    model = new_model(config, images).to(device)
    source = {"config_sha256": dataset.manifest.config_sha256}
    folder = RunFolder(args.out, config, source) if joined.first else None
    with (
        folder.claimed() if folder else nullcontext(0) as done,
        ProgressReport("iterations", args.train.iterations, done, args.quiet or not joined.first) as progress,
    ):
        if folder:
            say_resumed(done, folder.damage())

        def report(record: dict[str, Any]) -> None:
            shown = ("elbo", "objects", "squared_error")
            note = "  ".join(f"{name} {record[name]:.2f}" for name in shown if name in record)
            progress.advance(1, f"{note}  {record['warning']}" if "warning" in record else note)

        facts = {"data": {**data_facts(dataset.manifest), "learned_from": "images"}, **provenance()}
        train(model, images.to(device), args.train, folder, facts, report, joined)
    if folder:
        say(f"wrote {folder.model_folder}")
    return 0
