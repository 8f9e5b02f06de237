"""Measures steps per second of the native vector environment, as ratios to as many single ones stepped in turn.

python benchmarks/gym_speed.py --envs 1 8 64 256 --steps 2048 --json gym_speed.json

Both wall time and CPU time are measured; other work on the machine disturbs the latter less. The two ways take turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import gymnasium

from air3d.cli.json_file import write_json
from air3d.datasets.provenance import provenance
from air3d.environments import TABLETOP

WAYS = ("vector_entry_point", "sync")


def measure(envs: int, steps: int, rounds: int, seed: int, **settings: Any) -> dict[str, Any]:
    """Measure one row: wall and CPU time of `steps` random environment steps, `rounds` times, both ways in turn."""
    wall, cpu = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, 0.0)
    for _ in range(rounds):
        for way in WAYS:
            made = gymnasium.make_vec(TABLETOP, envs, way, **settings)
            made.action_space.seed(seed)
            made.reset(seed=seed)
            made.step(made.action_space.sample())  # compiles what there is to compile
            begin = time.perf_counter(), time.process_time()
            for _ in range(-(-steps // envs)):
                made.step(made.action_space.sample())
            wall[way] += time.perf_counter() - begin[0]
            cpu[way] += time.process_time() - begin[1]
            made.close()
    total, (native, single) = envs * -(-steps // envs) * rounds, WAYS
    return {
        "envs": envs,
        "steps": total,
        "native_per_second": total / wall[native],
        "single_per_second": total / wall[single],
        "ratio": wall[single] / wall[native],
        "native_cpu_ms": 1e3 * cpu[native] / total,
        "single_cpu_ms": 1e3 * cpu[single] / total,
        "cpu_ratio": cpu[single] / cpu[native],
        **settings,
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--steps", type=int, default=2048, help="environment steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--renderer", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    settings = {"image_size": args.image_size, "renderer": args.renderer}
    print("| environments | vector, steps/s | single, steps/s | ratio | vector, CPU ms | single, CPU ms | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for envs in args.envs:
        row = measure(envs, args.steps, args.rounds, args.seed, **settings)
        speeds = f"{row['native_per_second']:,.0f} | {row['single_per_second']:,.0f} | {row['ratio']:.1f}"
        costs = f"{row['native_cpu_ms']:.3f} | {row['single_cpu_ms']:.3f} | {row['cpu_ratio']:.1f}"
        print(f"| {envs} | {speeds} | {costs} |", flush=True)
        rows.append(row)
    if args.json is not None:
        write_json(args.json, {"rows": rows, **provenance()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
