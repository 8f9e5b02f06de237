"""What torch's threads are worth beside a busy process, by how they wait: spinning (OpenMP's default) or passively.

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
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
CORES = 2
BATCH = 64
POLICIES = {"spinning": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}}


def train(seconds: float, threads: int) -> dict[str, float]:
    """Images a second, and CPU seconds for each second; in this process. torch comes first, as in a foreign program."""
    import torch

    from air3d.networks.encoder import ConvEncoder, EncoderConfig

    torch.set_num_threads(threads)
    encoder = ConvEncoder(EncoderConfig())
    adam, images = torch.optim.Adam(encoder.parameters()), torch.rand(BATCH, 3, 64, 64)
    steps, begin, cpu = -3, 0.0, 0.0
    while steps <= 0 or time.perf_counter() - begin < seconds:
        if steps == 0:
            begin, cpu = time.perf_counter(), time.process_time()
        adam.zero_grad()
        encoder(images).square().mean().backward()
        adam.step()
        steps += 1
    lasted = time.perf_counter() - begin
    return {"images_per_second": steps * BATCH / lasted, "cpu": (time.process_time() - cpu) / lasted}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that only count, on the same cores."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each way to wait, number of threads and number of busy processes."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    rows: list[dict[str, Any]] = [
        {"busy": others, "waiting": waiting, "threads": threads, "rounds": []}
        for others in (0, 1)
        for threads in (1, CORES)
        for waiting in (POLICIES if threads > 1 else ["passive"])
    ]
    for _ in range(rounds):
        for row in rows:
            argv = [sys.executable, __file__, "--seconds", str(seconds), "--threads", str(row["threads"])]
            environment = plain | POLICIES[row["waiting"]] | {"PYTHONPATH": str(ROOT)}
            with busy(row["busy"]):
                done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
            row["rounds"].append(json.loads(done.stdout))
    for row in rows:
        for key in ("images_per_second", "cpu"):
            row[key] = median(each[key] for each in row["rounds"])
        one = next(each for each in rows if each["threads"] == 1 and each["busy"] == row["busy"])
        row["times_one_thread"] = row["images_per_second"] / one["images_per_second"]
    return rows


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="measure this many here; for the processes that this starts")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        print(json.dumps(train(args.seconds, args.threads)))
        return
    from air3d.provenance import provenance

    load = os.getloadavg()[0]
    rows = measure(args.seconds, args.rounds)
    for row in rows:
        print(
            f"{row['busy']} busy beside, {row['threads']} threads, {row['waiting']}: "
            f"{row['images_per_second']:.0f} images/s, {row['times_one_thread']:.2f} of one thread"
        )
    if args.json:
        found = {"rows": rows, "load_before": load, "seconds": args.seconds, "cores": CORES, **provenance()}
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
