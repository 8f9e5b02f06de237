"""Measures the cost of a scene and of a training step here, and models that of 10^8 scenes and of 64 GPUs.

python benchmarks/scale.py --measure scale.json     # a few CPU minutes
python benchmarks/scale.py scale.json               # the tables of docs/scale.md
python benchmarks/scale.py scale.json --cores-per-gpu 32 --gpu-flops 2e13

Costs are CPU seconds of one core, medians over repetitions, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Assumptions:
    """The assumptions of the model, which were not measured.

    Attributes:
        scenes: the scenes of the dataset, and the images to train on.
        node_cores: the cores of a machine that generates; each as fast as the one that was measured.
        disk: the bytes/s that the shared file system writes, and reads.
        link: the bytes/s into the one process that writes the shards of a Ray cluster.
        cores_per_gpu: the cores that dream and render for one GPU, all used.
        gpu_flops: the floating-point operations/s that a GPU reaches on these small networks.
        launch: the seconds that a GPU needs at least for one operation, however small.
        network, latency: the bytes/s and seconds of one message between GPUs.
    """

    scenes: float = 1e8
    node_cores: int = 64
    disk: float = 2e9
    link: float = 1e9
    cores_per_gpu: int = 16
    gpu_flops: float = 1e13
    launch: float = 5e-6
    network: float = 1e10
    latency: float = 2e-5


def generation_table(measured: dict[str, Any], assumed: Assumptions) -> list[list[str]]:
    """Rows by number of nodes: core time, the file system's time, both ways of bringing shards together."""
    cost, size = sum(measured["seconds"].values()), measured["bytes"]
    rows = [["nodes", "cores", "cores, h", "file system, h", "ray driver, h", "last part's check, h", "limit"]]
    for nodes in (1, 16, 64, 256):
        times = {
            "cores": assumed.scenes * cost / (nodes * assumed.node_cores),
            "file system": assumed.scenes * size / assumed.disk,
            "ray driver": assumed.scenes * size / assumed.link,
        }
        check = assumed.scenes * (size / assumed.disk + measured["check"])
        limit = max(("cores", "file system"), key=times.__getitem__)
        if check > times[limit]:
            limit = "last part's check"
        hours = [f"{seconds / 3600:.2f}" for seconds in (*times.values(), check)]
        rows.append([str(nodes), str(nodes * assumed.node_cores), *hours, limit])
    return rows


def all_reduce_s(size: float, gpus: int, assumed: Assumptions) -> float:
    """Seconds to add up `size` bytes over GPUs: bandwidth of a ring, messages of a tree (Thakur et al. 2005)."""
    return 2.0 * (gpus - 1) / gpus * size / assumed.network + 2.0 * math.log2(gpus) * assumed.latency


def step_parts(row: dict[str, Any], images: int, gpus: int, assumed: Assumptions) -> dict[str, float]:
    """Seconds of the parts of a step with so many images on each GPU; one follows the other.

    A GPU computes or launches operations, whichever takes longer: of the two, the shorter is 0 here.
    """
    arithmetic, launches = images * row["flops"] / assumed.gpu_flops, row["operations"] * assumed.launch
    return {
        "scenes": images * row["scenes"] / assumed.cores_per_gpu,
        "rendering": images * row["render"] / assumed.cores_per_gpu,
        "arithmetic": arithmetic if arithmetic >= launches else 0.0,
        "launches": launches if launches > arithmetic else 0.0,
        "all-reduce": all_reduce_s(row["gradient_bytes"], gpus, assumed),
    }


def training_table(measured: Iterable[dict[str, Any]], assumed: Assumptions) -> list[list[str]]:
    """Rows by training, images (the measured batch, and eight of it) and GPUs; milliseconds of a step's parts."""
    rows = [["training", "images/GPU", "GPUs", "scenes", "rendering", "arithmetic", "launches", "all-reduce"]]
    rows[0] += ["images/s", "efficiency", "all images, h", "limit"]
    for row, factor, gpus in itertools.product(measured, (1, 8), (1, 64)):
        images = factor * row["batch"]
        alone = sum(step_parts(row, images, 1, assumed).values())
        parts = step_parts(row, images, gpus, assumed)
        step = sum(parts.values())
        rate = gpus * images / step
        rows.append([row["name"], str(images), str(gpus), *(f"{1e3 * part:.2f}" for part in parts.values())])
        rows[-1] += [f"{rate:,.0f}", f"{alone / step:.2f}", f"{assumed.scenes / rate / 3600:.2f}"]
        rows[-1].append(max(parts, key=parts.__getitem__))
    return rows


def cost_tables(data: dict[str, Any]) -> list[list[list[str]]]:
    """The tables of the measured costs."""
    made = data["generation"]
    scene = [["part of a scene", "us of one core"], *([k, f"{1e6 * v:.0f}"] for k, v in made["seconds"].items())]
    scene += [["sum", f"{1e6 * sum(made['seconds'].values()):.0f}"], ["bytes", f"{made['bytes']:,.0f}"]]
    whole = [["workers", "CPU us a scene", "of the elapsed time"]]
    whole += [
        [row["workers"], f"{1e6 * row['cpu']:.0f}", f"{100.0 * row['cpu'] / row['wall']:.0f} %"]
        for row in made["workers"]
    ]
    step = [["training", "batch", "CPU ms an image", "scenes", "rendering", "network", "MFLOP an image"]]
    step[0] += ["operations a step", "gradient, MB"]
    for row in data["training"]:
        parts = [row["scenes"], row["render"], row["network"]]
        step.append([row["name"], str(row["batch"]), *(f"{1e3 * s:.3f}" for s in (sum(parts), *parts))])
        step[-1] += [f"{row['flops'] / 1e6:.0f}", str(row["operations"]), f"{row['gradient_bytes'] / 1e6:.1f}"]
    return [scene, whole, step]


def markdown(rows: list[list[str]]) -> str:
    """Write a table; the first row is its head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def main(argv: list[str] | None = None) -> int:
    """Measure, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("--measure", action="store_true", help="write the JSON first")
    parser.add_argument("--scenes", dest="count", type=int, default=1024, help="to measure generation with")
    parser.add_argument("--steps", type=int, default=7, help="to measure every training with")
    for field in fields(Assumptions):
        kind = int if isinstance(field.default, int) else float
        name = "dataset" if field.name == "scenes" else field.name
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=f"assumed_{field.name}", type=kind, default=field.default
        )
    args = parser.parse_args(argv)
    if args.measure:
        from scale_costs import measure

        from air3d.cli.json_file import write_json

        write_json(args.json, measure(args.count, args.steps))
    data = json.loads(args.json.read_text())
    assumed = Assumptions(**{field.name: getattr(args, f"assumed_{field.name}") for field in fields(Assumptions)})
    tables = [
        *cost_tables(data), generation_table(data["generation"], assumed), training_table(data["training"], assumed)
    ]  # fmt: skip
    print("\n\n".join(markdown(table) for table in tables))
    print(f"\nmeasured: {json.dumps(data['machine'])}\nassumed: {assumed}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
