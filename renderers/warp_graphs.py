"""Sequences of launches, recorded once as CUDA graphs and replayed: one call in place of one for each launch."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import warp as wp

# A caller whose batches change their size all the time must not fill the memory with graphs.
_MOST_GRAPHS = 32


class LaunchGraphs:
    """Runs sequences of launches on one device; each is told apart by a key.

    A sequence must launch the same kernels on the same arrays whenever its key comes again, and allocate nothing.
    The first time it is launched as it is, which loads its kernels; the second time it is recorded; from then on
    replayed. Where recording fails, or is not wanted, everything is launched as it is.

    Args:
        device: the device that the kernels run on.
        record: whether to record at all.

    Attributes:
        recording: whether sequences are recorded; falls to False when the device refuses.
        replays: number of replays so far.
    """

    def __init__(self, device: wp.Device, record: bool) -> None:
        self._device = device
        self._graphs: dict[Hashable, wp.Graph | None] = {}
        self.recording = record
        self.replays = 0

    def run(self, key: Hashable, launch: Callable[[], None]) -> None:
        """Do what `launch` does."""
        if not self.recording:
            launch()
        elif key not in self._graphs:
            if len(self._graphs) >= _MOST_GRAPHS:
                self._graphs.clear()
            self._graphs[key] = None
            launch()
        else:
            graph = self._graphs[key]
            if graph is None:
                graph = self._graphs[key] = self._record(launch)
            if graph is None:
                launch()
            else:
                wp.capture_launch(graph)
                self.replays += 1

    def _record(self, launch: Callable[[], None]) -> wp.Graph | None:
        try:
            with wp.ScopedCapture(self._device) as capture:
                launch()
        except RuntimeError:
            # Another library's work in another thread can invalidate a capture; drawing must go on.
            self.recording = False
            return None
        return capture.graph
