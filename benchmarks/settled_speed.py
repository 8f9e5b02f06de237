"""Measures how fast settled scenes are made, and whether they are settled, beside a plain loop over `mj_step`.

    python benchmarks/settled_speed.py --json benchmarks/settled_speed.json
    python benchmarks/settled_speed.py --kinds FOLDER --min-objects 6 --max-objects 10 --size 128

All is CPU time of one process, which other work on the machine disturbs less than wall time; scenes a second of two
cores are two over that, for scenes are made by processes of their own. The loop compiles a model for each scene, drops
the same objects from the same poses, and steps 2 ms at a time until all are slow for a tenth of a second, or for 3 s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import tyro

from air3d.cli.json_file import write_json
from air3d.datasets.config import GenerateConfig
from air3d.datasets.provenance import provenance
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import Backend, make_renderer
from air3d.scene3d.catalog import CROCKERY
from air3d.scene3d.contacts import add_bodies, add_ground, set_options
from air3d.scene3d.drop import start_poses
from air3d.scene3d.errors import InputError
from air3d.scene3d.ground import Ground
from air3d.scene3d.objects.resolve import resolve_kinds
from air3d.scene3d.physics import SettleConfig
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import PriorConfig, ScenePrior
from air3d.scene3d.scene import Scene
from air3d.scene3d.surface import Surface, Surfaces

STEP_S, LONGEST_S, CALM_S, STAYS_S = 0.002, 3.0, 0.1, 2.0


@dataclass(frozen=True)
class Args:
    """Measure settled scenes."""

    kinds: tuple[str, ...] = CROCKERY
    """Kinds to draw from, as `air3d generate tabletop` takes them."""
    min_objects: int = 0
    """Fewest objects."""
    max_objects: int = 6
    """Most objects."""
    size: int = 64
    """Height and width of the images, pixels."""
    renderer: Backend = "raster"
    """The renderer."""
    scenes: int = 2000
    """How many scenes are made and examined."""
    stepped: int = 200
    """How many of them are stepped on for 2 s, how many are rendered, and how many the loop makes at most."""
    seed: int = 0
    """Seeds the scenes."""
    json: Path | None = None
    """File to which the numbers are written."""


def model_of(kinds: Sequence[str], scales: Sequence[float], ground: Ground) -> mujoco.MjModel:
    """Compile a model with MuJoCo's own step."""
    spec = mujoco.MjSpec()
    set_options(spec, STEP_S)
    add_ground(spec, ground)
    for kind, scale in zip(kinds, scales, strict=True):
        body = spec.worldbody.add_body()
        body.add_freejoint()
        add_bodies(spec, body, kind, scale)
    return spec.compile()


def loop(prior: PriorConfig, rng: np.random.Generator) -> bool:
    """Make one scene as the loop does; tell whether all came to rest on the table."""
    count = int(rng.integers(prior.min_objects, prior.max_objects + 1))
    kinds = [prior.kinds[k] for k in rng.integers(len(prior.kinds), size=count)]
    if not kinds:
        return True
    model = model_of(kinds, [1.0] * count, prior.table.ground)
    data = mujoco.MjData(model)
    poses = data.qpos.reshape(-1, 7)
    places = Surfaces((Surface.of(prior.table.place),))
    poses[:, :3], poses[:, 3:] = start_poses(rng, kinds, [1.0] * count, places, 0.5)
    calm, limits = 0, SettleConfig()
    for _ in range(round(LONGEST_S / STEP_S)):
        mujoco.mj_step(model, data)
        speeds = data.qvel.reshape(-1, 6)
        slow = (np.linalg.norm(speeds[:, :3], axis=1) < limits.speed_m_s).all()
        calm = calm + 1 if slow and (np.linalg.norm(speeds[:, 3:], axis=1) < limits.turn_rad_s).all() else 0
        if calm * STEP_S >= CALM_S:
            return bool(prior.table.ground.holds(poses[:, :3]).all())
    return False


def examined(scene: Scene, seconds: float) -> tuple[float, float, float]:
    """Ask MuJoCo of a scene: its deepest contact (metres), its fastest object after a tenth of a second (metres a
    second), and how far the farthest moves in so many seconds (metres)."""
    kinds, scales = [item.kind for item in scene.objects], [item.scale for item in scene.objects]
    if not kinds:
        return 0.0, 0.0, 0.0
    model = model_of(kinds, scales, scene.table.ground)
    data = mujoco.MjData(model)
    poses = data.qpos.reshape(-1, 7)
    poses[:, :3], poses[:, 3:] = [o.position_m for o in scene.objects], [o.rotation_wxyz for o in scene.objects]
    before = poses.copy()
    mujoco.mj_forward(model, data)
    depth = float(np.maximum(-data.contact.dist, 0.0).max(initial=0.0))
    mujoco.mj_step(model, data, round(CALM_S / STEP_S))
    speed = float(np.linalg.norm(data.qvel.reshape(-1, 6)[:, :3], axis=1).max())
    mujoco.mj_step(model, data, max(1, round((seconds - CALM_S) / STEP_S)))
    return depth, speed, float(np.linalg.norm(poses[:, :3] - before[:, :3], axis=1).max())


def measure(args: Args) -> dict[str, Any]:
    """Measure all; see the module."""
    kinds = resolve_kinds(args.kinds)
    prior = tabletop_prior(kinds, args.min_objects, args.max_objects, pose="settled")
    scenes = ScenePrior(prior)
    for k in range(4):  # finds the kinds' bodies
        scenes.sample(np.random.default_rng([args.seed, 1, k]))
    begin = time.process_time()
    made = [scenes.sample(np.random.default_rng([args.seed, k])) for k in range(args.scenes)]
    physics_s = (time.process_time() - begin) / args.scenes
    some = min(args.stepped, args.scenes)
    config = GenerateConfig("tabletop", some, args.seed, prior, args.size, "inference", args.renderer, 0.1, 32)
    with SceneRecipe(config, partial(make_renderer, backend=args.renderer, workers=1)).open() as samples:
        list(samples(range(4)))  # compiles what there is to compile
        begin = time.process_time()
        list(samples(range(some)))
        whole_s = (time.process_time() - begin) / some
    rows = np.array([examined(scene, STAYS_S if k < some else 0.0) for k, scene in enumerate(made)])
    begin, rested = time.process_time(), 0
    few = max(1, some // 4)
    for k in range(few):
        rested += loop(prior, np.random.default_rng([args.seed, 2, k]))
    loop_s = (time.process_time() - begin) / max(rested, 1)
    return {
        "kinds": [kind.partition("@")[0] for kind in kinds],
        "objects": [args.min_objects, args.max_objects],
        "size": args.size,
        "renderer": args.renderer,
        "seed": args.seed,
        "scenes": args.scenes,
        "settle_cpu_ms": 1e3 * physics_s,
        "sample_cpu_ms": 1e3 * whole_s,
        "samples_per_second_2_cores": 2.0 / whole_s,
        "loop_cpu_ms": 1e3 * loop_s,
        "loop_share_rested": rested / few,
        "ratio": loop_s / physics_s,
        "largest_penetration_mm": 1e3 * float(rows[:, 0].max()),
        "largest_speed_mm_s": 1e3 * float(rows[:, 1].max()),
        "share_below_1_mm_s": float((rows[:, 1] < 1e-3).mean()),
        "stepped": some,
        "largest_move_in_2_s_mm": 1e3 * float(rows[:some, 2].max()),
    }


def main(args: Args) -> int:
    """Measure, print, write; return 0."""
    if args.scenes < 1 or args.stepped < 1:
        raise InputError("--scenes and --stepped: use 1 or more")
    result = measure(args)
    print(
        f"settled in {result['settle_cpu_ms']:.1f} ms CPU a scene, {result['ratio']:.1f} times as fast as the loop; "
        f"with pixels and labels {result['sample_cpu_ms']:.1f} ms, or {result['samples_per_second_2_cores']:.0f} a "
        f"second on two cores\nof {result['scenes']} scenes the deepest contact is "
        f"{result['largest_penetration_mm']:.2f} mm, the fastest object {result['largest_speed_mm_s']:.2f} mm/s; "
        f"stepped for 2 s, {result['stepped']} move by at most {result['largest_move_in_2_s_mm']:.2f} mm"
    )
    if args.json is not None:
        write_json(args.json, result | {"provenance": provenance()})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
