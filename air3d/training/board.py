"""Writes the log's numbers, and pictures, for TensorBoard into RUN/tensorboard, where that is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.scene3d.closing import Closing


class Board(Closing):
    """Writes event files beside a run's own log; without the package tensorboard (extra `tensorboard`), nothing.

    Args:
        folder: the folder of the run; None writes nothing.
        done: the iterations that a resumed run has behind it; later events of an interrupted one are dropped.
    """

    def __init__(self, folder: Path | None, done: int = 0) -> None:
        self._writer: Any = None
        self._last = done
        if folder is not None and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def record(self, record: dict[str, Any]) -> None:
        """Write the numbers of a log record, unless it was written already."""
        iteration = int(record.get("iteration", 0))
        if self._writer is None or iteration <= self._last:
            return
        self._last = iteration
        for name, value in record.items():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, iteration)

    def picture(self, name: str, pixels: NDArray[np.uint8], iteration: int) -> None:
        """Write a picture (H, W, 3) uint8."""
        if self._writer is not None:
            self._writer.add_image(name, pixels, iteration, dataformats="HWC")

    def close(self) -> None:
        """Write pending events."""
        if self._writer is not None:
            self._writer.close()
