"""Tests whether memory is flat while a renderer works. The exit code is 1 if it grew by more than 2 %.

    python benchmarks/render_memory.py --renderer gl_pool --minutes 10 --json memory.json

Batches of changing size, of colours, of segmentation, and of both with depth, are drawn one after the other; the
resident memory of this process and of all its children is read once a second. `watch_memory` does that for any work.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import tyro

from air3d.cli.json_file import write_json
from air3d.datasets.provenance import provenance
from air3d.renderers.choice import Backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior

ALLOWED_PERCENT = 2.0
WARM_UP_SHARE = 0.1
LARGEST_BATCH = 256
_EDGE_SHARE = 0.05


@dataclass(frozen=True)
class Memory:
    """The course of resident memory.

    Attributes:
        seconds: the time that it was watched after the warm-up.
        work: the sum of the steps' results in that time.
        samples: the number of readings in that time.
        start_mib, end_mib: the medians of the first and of the last twentieth of the readings.
        peak_mib: the largest reading.
        growth_percent: the growth from start to end.
    """

    seconds: float
    work: int
    samples: int
    start_mib: float
    end_mib: float
    peak_mib: float
    growth_percent: float

    @property
    def flat(self) -> bool:
        """Tell whether the growth is allowed."""
        return self.growth_percent <= ALLOWED_PERCENT


def resident_mib() -> float:
    """The resident memory of this process and its children, MiB; shared memory counts in each."""
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def watch_memory(step: Callable[[], int], seconds: float, every_s: float = 1.0) -> Memory:
    """Call `step` again and again for `seconds`, after a warm-up of a tenth of that, and read the memory meanwhile.

    Args:
        step: does a little and returns how much that was, in any unit.
    """
    warm = time.monotonic() + WARM_UP_SHARE * seconds
    while time.monotonic() < warm:
        step()
    begin = time.monotonic()
    readings, work, due = [resident_mib()], 0, begin + every_s
    while time.monotonic() < begin + seconds:
        work += step()
        if time.monotonic() >= due:
            readings.append(resident_mib())
            due += every_s
    readings.append(resident_mib())
    edge = max(1, round(_EDGE_SHARE * len(readings)))
    start, end = float(np.median(readings[:edge])), float(np.median(readings[-edge:]))
    growth = 100.0 * (end / start - 1.0)
    return Memory(time.monotonic() - begin, work, len(readings), start, end, max(readings), growth)


@dataclass(frozen=True)
class Args:
    """Watch the memory of a renderer at work."""

    renderer: Backend = "auto"
    """The renderer that is watched."""

    minutes: float = 10.0
    """How long memory is watched; a warm-up of a tenth comes before."""

    size: int = 64
    """Height and width of the images, pixels."""

    workers: int | None = None
    """Processes or threads of backends that use several; default: one for every core."""

    seed: int = 0
    """Seeds the scenes."""

    json: Path | None = None
    """File to which the numbers are written."""


def main(args: Args) -> int:
    """Watch, print, write; return 0 if memory was flat."""
    if not 0.0 < args.minutes <= 60.0 * 24.0:
        raise InputError(f"--minutes is {args.minutes}; use more than 0 and at most a day")
    rng = np.random.default_rng(args.seed)
    prior = tabletop_prior()
    scenes = ScenePrior(prior).sample_batch(rng, 4 * LARGEST_BATCH)
    config = RenderConfig(scenes.kinds, scenes.table, prior.max_objects, args.size, args.size)
    with make_renderer(config, args.renderer, args.workers) as renderer:
        calls = (renderer.render, renderer.render_segmentation, renderer.render_frames)

        def step() -> int:
            batch = scenes[rng.integers(len(scenes), size=rng.integers(1, LARGEST_BATCH + 1))]
            calls[int(rng.integers(len(calls)))](batch)
            return len(batch)

        for call in calls:  # what grows with the largest batch so far does so now
            call(scenes[:LARGEST_BATCH])
        memory = watch_memory(step, 60.0 * args.minutes)
        name = renderer.name
    numbers = asdict(memory)
    result = {"name": name, "size": args.size, "seed": args.seed, "images": numbers.pop("work"), **numbers}
    print(
        f"{name}: {memory.work:,} images in {memory.seconds:.0f} s; resident {memory.start_mib:.1f} MiB after the "
        f"warm-up, {memory.end_mib:.1f} at the end ({memory.growth_percent:+.2f} %), {memory.peak_mib:.1f} at most"
    )
    if args.json is not None:
        write_json(args.json, result | {"provenance": provenance()})
    return 0 if memory.flat else 1


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
