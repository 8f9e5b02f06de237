"""Warns early of a posterior that gives one answer to everything."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# The posterior knows little at first, so nothing is said before this share of the run.
_QUIET_UNTIL = 0.15
_TOO_MUCH, _TOO_LITTLE = 0.95, 0.01
_MEMORY = 0.8


class CollapseWatch:
    """Follows the share of each kind among the samples, smoothed over log records.

    Args:
        kinds: the names of the kinds.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self._share: Tensor | None = None

    def remember(self, records: list[dict[str, Any]]) -> None:
        """Take in the earlier log of a resumed run, so that it warns as if it had never stopped."""
        for record in records:
            share = record.get("kind_share")
            if isinstance(share, dict) and tuple(share) == self.kinds:
                self.look(0.0, torch.tensor(list(share.values())))

    def record(self, progress: float, answers: Tensor) -> dict[str, Any]:
        """Make the log's entries: the share of each kind (kinds,) by name, and a warning if `look` gives one."""
        warning = self.look(progress, answers)
        shown = {"kind_share": dict(zip(self.kinds, answers.tolist(), strict=True))}
        return shown if warning is None else shown | {"warning": warning}

    def look(self, progress: float, kind_share: Tensor) -> str | None:
        """Return a line to warn with, or None if nothing looks wrong.

        Args:
            progress: the share of the run that is done, in [0, 1].
            kind_share: (kinds,), the shares of one step.
        """
        share = kind_share if self._share is None else _MEMORY * self._share + (1.0 - _MEMORY) * kind_share
        self._share = share
        if len(self.kinds) < 2 or progress < _QUIET_UNTIL:
            return None
        most, least = int(share.argmax()), int(share.argmin())
        if share[most] > _TOO_MUCH:
            return f"collapse: nearly every sample is a {self.kinds[most]}; try a slower schedule or another seed"
        if share[least] < _TOO_LITTLE:
            return f"collapse: {self.kinds[least]} is hardly ever sampled any more; start warmer (a lower spread_start)"
        return None
