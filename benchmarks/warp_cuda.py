"""Measures images per second of MuJoCo Warp by batch size, up to the largest batch that fits the device.

    python benchmarks/warp_cuda.py --json warp_cuda.json

Each batch is drawn in one launch into a torch tensor on the device (`WarpRenderer.render_torch`). Time runs from the
scenes as numpy arrays to the last pixel, between two CUDA events (on a CPU: by the clock), so it holds checking,
sending and placing the scenes; every batch differs from the one before it in objects, poses, colours and cameras.
Batches grow until the device runs out of memory or --most is reached. Some images of every size are compared with a
small launch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tyro
import warp as wp

from air3d.cli.json_file import write_json
from air3d.renderers.protocol import RenderConfig
from air3d.renderers.warp import WarpRenderer
from air3d.renderers.warp_device import pick_device
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.poses import yawed
from air3d.scene3d.prior import PriorConfig, ScenePrior

_BATCHES = 3
_CHECKED = 32
_LEAST_REPEATS, _MOST_REPEATS = 3, 1000


@dataclass(frozen=True)
class Args:
    """Measure MuJoCo Warp by batch size."""

    device: str | None = None
    """Warp's name of the device; default: the first GPU, else the CPU."""

    size: int = 64
    """Height and width of the images, pixels."""

    objects: int = 3
    """How many objects every scene has."""

    first: int = 1024
    """The smallest batch; each is twice the one before."""

    most: int = 2**22
    """No batch is larger."""

    seconds: float = 2.0
    """About how long each batch size is measured."""

    seed: int = 0
    """Seeds the scenes."""

    json: Path | None = None
    """File to which the numbers are written, anew after each batch size."""


@dataclass(frozen=True)
class Row:
    """The numbers of one batch size.

    Attributes:
        batch: the number of images in one launch.
        images_per_second: the rate with everything included.
        milliseconds: the time of one batch.
        device_milliseconds: the time of one batch that the device itself worked; None on a CPU.
        differing: the share of pixels, among the images checked, that a small launch draws otherwise.
        setup_seconds: the time to make the worlds, once.
    """

    batch: int
    images_per_second: float
    milliseconds: float
    device_milliseconds: float | None
    differing: float
    setup_seconds: float


def varied(scenes: SceneBatch, rng: np.random.Generator, count: int) -> SceneBatch:
    """Make `count` scenes out of `scenes`, each turned, coloured and seen anew."""
    chosen = scenes[rng.integers(len(scenes), size=count)]
    return replace(
        chosen,
        rotation_wxyz=yawed(rng.uniform(-np.pi, np.pi, chosen.kind.shape)),
        colour=rng.uniform(0.0, 1.0, chosen.colour.shape),
        camera_azimuth_rad=rng.uniform(-np.pi, np.pi, count),
    )


def seconds_of(device: wp.Device, work: Callable[[], None]) -> float:
    """Measure how long `work` takes on the device, with its waits for the host."""
    if not device.is_cuda:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin
    begin, end = wp.Event(device, enable_timing=True), wp.Event(device, enable_timing=True)
    device.stream.record_event(begin)
    work()
    device.stream.record_event(end)
    return wp.get_event_elapsed_time(begin, end) / 1e3


def busy_milliseconds(device: wp.Device, work: Callable[[], None]) -> float | None:
    """The sum of all that the device did for `work`: kernels, copies, graphs."""
    if not device.is_cuda:
        return None
    wp.timing_begin()
    work()
    return float(sum(result.elapsed for result in wp.timing_end()))


def measure(config: RenderConfig, device: wp.Device, scenes: SceneBatch, batch: int, args: Args) -> Row:
    """Measure one row.

    Raises:
        RuntimeError: if the device has no room for the batch.
    """
    rng = np.random.default_rng([args.seed, batch])
    batches = [varied(scenes, rng, batch) for _ in range(_BATCHES)]
    begin = time.perf_counter()
    with WarpRenderer(config, str(device), worlds=batch) as renderer:
        setup = time.perf_counter() - begin

        def draw(times: int) -> None:
            for i in range(times):
                renderer.render_torch(batches[i % _BATCHES])

        draw(_BATCHES)  # the kernels are loaded, the launches recorded
        once = seconds_of(device, lambda: draw(1))
        repeats = int(np.clip(args.seconds / once, _LEAST_REPEATS, _MOST_REPEATS))
        each = seconds_of(device, lambda: draw(repeats)) / repeats
        busy = busy_milliseconds(device, lambda: draw(1))
        some = np.unique(np.linspace(0, batch - 1, _CHECKED).astype(int))
        got = renderer.render_torch(batches[-1])[some].cpu().numpy()
    with WarpRenderer(config, str(device), worlds=len(some)) as small:
        want = small.render(batches[-1][some])
    return Row(batch, batch / each, 1e3 * each, busy, float((got != want).any(axis=-1).mean()), setup)


def main(args: Args) -> int:
    """Measure, print, write; return 1 if not one batch could be drawn, or pictures differ."""
    if args.objects < 1 or not 1 <= args.first <= args.most or args.seconds <= 0.0:
        raise InputError("use at least 1 object, 1 <= --first <= --most, and more than 0 --seconds")
    device = pick_device(args.device)
    prior = PriorConfig(
        kinds=("mug", "plate", "bowl") if args.objects <= 3 else ("mug",),
        min_objects=args.objects,
        max_objects=args.objects,
        max_tries=1_000_000,
    )
    config = RenderConfig(prior.kinds, prior.table, args.objects, args.size, args.size)
    scenes = ScenePrior(prior).sample_batch(np.random.default_rng(args.seed), 256)
    rows: list[Row] = []
    stopped_by, batch = f"--most {args.most}", args.first
    while batch <= args.most:
        try:
            rows.append(measure(config, device, scenes, batch, args))
        except (RuntimeError, MemoryError) as error:
            stopped_by = " ".join(str(error).split()) or type(error).__name__
            break
        row = rows[-1]
        device_part = "" if row.device_milliseconds is None else f", {row.device_milliseconds:.2f} ms of it the device"
        print(
            f"batch {row.batch:>8,}: {row.images_per_second:>12,.0f} images/s, {row.milliseconds:.2f} ms{device_part}, "
            f"{100 * row.differing:.3f} % of pixels differ",
            flush=True,
        )
        _write(args, device, rows, None)
        batch *= 2
    print(f"{device.name}: largest batch {rows[-1].batch if rows else 0:,}; the next was stopped by {stopped_by}")
    _write(args, device, rows, stopped_by)
    return 0 if rows and all(row.differing < 1e-3 for row in rows) else 1


def _write(args: Args, device: wp.Device, rows: list[Row], stopped_by: str | None) -> None:
    if args.json is None:
        return
    result = {
        "device": device.name,
        "size": args.size,
        "objects": args.objects,
        "seed": args.seed,
        "largest_batch": rows[-1].batch if rows else 0,
        "stopped_by": stopped_by,
        "rows": [asdict(row) for row in rows],
    }
    write_json(args.json, result)


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
