"""Measures how much of a picture agents explain: chance, greedy from a bare table, greedy from a network's answer.

python benchmarks/gym_agents.py --episodes 64 --steps 50 --proposals 64 --weights tabletop --json gym_agents.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air3d.cli.json_file import write_json
from air3d.datasets.provenance import provenance
from air3d.environments.greedy import greedy_actions
from air3d.environments.vector import TabletopVectorEnv
from air3d.renderers.choice import make_renderer
from air3d.scene3d.scene import Scene
from air3d.scenes.store import load_model

Policy = Callable[[TabletopVectorEnv], NDArray[np.float32]]
Reader = Callable[[NDArray[np.uint8]], list[Scene]]


def play(
    name: str, act: Policy, episodes: int, steps: int, seed: int, renderer: str, read: Reader | None = None
) -> dict[str, Any]:
    """Measure one row: an episode of each environment, from the bare table or from the scenes that `read` infers."""
    envs = TabletopVectorEnv(episodes, max_episode_steps=steps, renderer=renderer)
    seen, info = envs.reset(seed=seed)
    bare = _mean_squared_error(seen)
    if read is not None:
        seen, info = envs.reset(options={"target": seen["target"], "start": read(seen["target"])})
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    last, renders, done = _mean_squared_error(seen), info["renders"], np.zeros(episodes, bool)
    start = last
    while going.any():
        seen, reward, terminated, truncated, info = envs.step(act(envs))
        total += np.where(going, reward, 0.0)
        last, renders = np.where(going, _mean_squared_error(seen), last), np.where(going, info["renders"], renders)
        done |= going & terminated
        going &= ~(terminated | truncated)
    envs.close()
    return {
        "agent": name,
        "return": float(total.mean()),
        "standard_error": float(total.std(ddof=1) / np.sqrt(episodes)),
        "explained_at_start": float(1.0 - start.mean() / bare.mean()),
        "explained": float(1.0 - last.mean() / bare.mean()),
        "terminated": float(done.mean()),
        "renders": float(renders.mean()),
    }


def _mean_squared_error(seen: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    difference = (seen["target"].astype(np.float64) - seen["render"]) / 255.0
    return np.asarray(np.square(difference).mean((1, 2, 3)))


def main(argv: list[str] | None = None) -> int:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--proposals", type=int, default=64)
    parser.add_argument("--weights", help="a model of tabletops whose answers the greedy agent may start from")
    parser.add_argument("--renderer", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)

    def greedy(envs: TabletopVectorEnv) -> NDArray[np.float32]:
        return greedy_actions(envs, args.proposals, rng)

    setting = (args.episodes, args.steps, args.seed, args.renderer)
    rng = np.random.default_rng(args.seed)
    rows = [play("random", _never_stopping(rng), *setting), play("greedy", greedy, *setting)]
    if args.weights is not None:
        model = load_model(args.weights).model
        with make_renderer(model.render_config, args.renderer) as renderer:
            rows.append(
                play(
                    f"greedy from {args.weights}",
                    greedy,
                    *setting,
                    lambda targets: model.infer(targets, renderer).scenes.to_scenes(),
                )
            )
    print("| agent | return | explained at the start | at the end | terminated | renders |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        returned = f"{row['return']:.3f} ± {row['standard_error']:.3f}"
        shares = f"{row['explained_at_start']:.1%} | {row['explained']:.1%} | {row['terminated']:.0%}"
        print(f"| {row['agent']} | {returned} | {shares} | {row['renders']:.0f} |")
    if args.json is not None:
        write_json(args.json, {"rows": rows, **provenance()})
    return 0


def _never_stopping(rng: np.random.Generator) -> Policy:
    def act(envs: TabletopVectorEnv) -> NDArray[np.float32]:
        actions = rng.uniform(-1.0, 1.0, (envs.num_envs, envs.layout.size))
        actions[:, envs.layout.operations.index("stop")] = -1.0
        return actions.astype(np.float32)

    return act


if __name__ == "__main__":
    raise SystemExit(main())
