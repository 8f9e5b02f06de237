"""Measures torch's threads beside a busy process, by how they wait: spinning (OpenMP's default) or passively.

python benchmarks/busy_threads.py --json benchmarks/busy_threads.json

Training steps of the encoder of single objects, in a process of its own for each row, all on the same two cores. The
rows are measured in turn, several rounds in one run, so other work on the machine meets all of them; the medians of
the rounds are compared, and what is said is their ratio to one thread in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
CORES = 2
BATCH = 64
POLICIES = {"spinning": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}


def serve(threads: int) -> None:
    """Train for as many seconds as each line says; print images a second, and CPU seconds a second, as JSON.

    torch comes before air3d, as in a foreign program, so that the environment alone says how threads wait.
    """
    import torch

    from air3d.networks.encoder import ConvEncoder, EncoderConfig

    torch.set_num_threads(threads)
    encoder = ConvEncoder(EncoderConfig())
    adam, images = torch.optim.Adam(encoder.parameters()), torch.rand(BATCH, 3, 64, 64)

    def step() -> None:
        adam.zero_grad()
        encoder(images).square().mean().backward()
        adam.step()

    step()
    for line in sys.stdin:
        steps, begin, cpu = 0, time.perf_counter(), time.process_time()
        while (lasted := time.perf_counter() - begin) < float(line):
            step()
            steps += 1
        found = {"images_per_second": steps * BATCH / lasted, "cpu": (time.process_time() - cpu) / lasted}
        print(json.dumps(found), flush=True)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run so many processes that only count, on the same cores."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Measure a row for each number of busy processes, number of threads and way to wait."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    ways = [(1, "passive"), (CORES, "spinning"), (CORES, "passive")]
    rows: list[dict[str, Any]] = [
        {"name": f"{waiting}-{threads}-{others}", "busy": others, "threads": threads, "waiting": waiting, "rounds": []}
        for others in (0, 1)
        for threads, waiting in ways
    ]
    with ExitStack() as stack:
        servers = {}
        for threads, waiting in ways:
            argv = [sys.executable, __file__, "--threads", str(threads)]
            environment = plain | POLICIES[waiting] | {"PYTHONPATH": str(ROOT)}
            server = subprocess.Popen(
                argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            servers[threads, waiting] = stack.enter_context(server)
        for _ in range(rounds):
            for row in rows:
                server = servers[row["threads"], row["waiting"]]
                assert server.stdin is not None and server.stdout is not None
                with busy(row["busy"]):
                    server.stdin.write(f"{seconds}\n")
                    row["rounds"].append(json.loads(server.stdout.readline()))
    for row in rows:
        for key in ("images_per_second", "cpu"):
            row[key] = median(each[key] for each in row["rounds"])
        one = next(each for each in rows if each["threads"] == 1 and each["busy"] == row["busy"])
        row["times_one_thread"] = row["images_per_second"] / one["images_per_second"]
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="train with so many here; for the processes that this starts")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if args.threads:
        serve(args.threads)
        return 0
    from air3d.datasets.provenance import provenance

    load = os.getloadavg()[0]
    rows = measure(args.seconds, args.rounds)
    for row in rows:
        print(
            f"{row['busy']} busy beside, {row['threads']} threads, {row['waiting']}: "
            f"{row['images_per_second']:.0f} images/s, {row['times_one_thread']:.2f} of one thread"
        )
    if args.json:
        found = {"rows": rows, "load_before": load, "seconds": args.seconds, "cores": CORES, "provenance": provenance()}
        from air3d.cli.json_file import write_json

        write_json(args.json, found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
