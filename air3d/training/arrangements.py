"""The pool of settled scenes that a training dreams from: made once, kept in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from air3d.datasets.files import atomic_file, reported
from air3d.scene3d.pool import ScenePool
from air3d.scene3d.prior import PriorConfig
from air3d.training.config import Training


def needs_arrangements(config: Training, prior: PriorConfig) -> bool:
    """Tell whether a run dreams scenes that physics settles."""
    return prior.pose == "settled" and (config.phase == "sleep" or config.dreams > 0)


def arranged(
    config: Training, prior: PriorConfig, size: int, folder: Path | None, threads: int, made: Callable[[int], None]
) -> ScenePool:
    """Return the pool of `size` scenes of a prior that a run dreams from.

    Args:
        folder: the run's, which keeps the pool; None for a process that leaves that to another.
        made: is told how many more arrangements there are, now and then.

    Raises:
        InputError: if objects cannot be placed, or the pool cannot be written.
    """
    path = None if folder is None else _path(folder, prior)
    if path is not None and path.exists():
        try:
            kept = ScenePool.from_bytes(prior, path.read_bytes())
            if len(kept.arrangements) == size:
                made(size)
                return kept
        except (ValueError, OSError):
            pass  # damaged: it is made again, and the same
    pool = ScenePool.fill(prior, size, config.seed, threads, made)
    if path is not None:
        with reported(path), atomic_file(path) as file:
            file.write(pool.to_bytes())
    return pool


def _path(folder: Path, prior: PriorConfig) -> Path:
    """Where a run keeps the pool of a prior: runs of earlier versions had one, of any table."""
    first = folder / "arrangements.npz"
    return first if first.exists() else folder / f"arrangements-{prior.table.shape}.npz"
