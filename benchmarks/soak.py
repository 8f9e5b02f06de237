"""Tests whether generating, rendering or serving the viewer leaks in half an hour; the exit code is 1 if one does.

    python benchmarks/soak.py --minutes 30 --json soak.json

Resident memory of this process and its children may grow by 2 % (`render_memory.py`); processes, threads, open files
and blocks of shared memory have to be as many at the end as after the warm-up. Renderers are opened and closed all the
while, so contexts of OpenGL that stay behind show as threads, open files or memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import tyro
from render_memory import Memory, watch_memory

from air3d.cli.json_file import write_json
from air3d.datasets.build import Build
from air3d.datasets.config import GenerateConfig
from air3d.datasets.recipe import SceneRecipe
from air3d.renderers.choice import Backend, choose_backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.errors import InputError
from air3d.scene3d.presets import tabletop_prior
from air3d.scene3d.prior import ScenePrior

Work = Literal["generate", "render", "view"]
Step = Callable[[], int]
_REOPEN_EVERY, _POOL_EVERY = 25, 10
# Steps until everything has happened once, and memory that is reused has found its size.
_WARM_UP: dict[Work, int] = {"generate": 51, "render": 1000, "view": 3}
_UNITS: dict[Work, str] = {"generate": "scenes", "render": "images", "view": "pages"}


@dataclass(frozen=True)
class Held:
    """The resources that this process and all below it hold, and might forget to give back."""

    processes: int
    threads: int
    files: int
    shared_blocks: int

    @staticmethod
    def now() -> Held:
        """Count."""
        me = psutil.Process()
        counts = [(1, me.num_threads(), me.num_fds())]
        for child in me.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                counts.append((1, child.num_threads(), child.num_fds()))
        shared = Path("/dev/shm")
        blocks = len([*shared.iterdir()]) if shared.is_dir() else 0
        processes, threads, files = map(sum, zip(*counts, strict=True))
        return Held(processes, threads, files, blocks)


@dataclass(frozen=True)
class Args:
    """Watch memory, processes, files and shared memory of long work."""

    work: tuple[Work, ...] = ("generate", "render", "view")
    """The kinds of work to watch, one after the other."""

    minutes: float = float(os.environ.get("AIR3D_SOAK_MINUTES", "30"))
    """How long each is watched; a warm-up of a tenth comes before. The variable AIR3D_SOAK_MINUTES sets it too."""

    renderer: Backend = "auto"
    """The renderer."""

    json: Path | None = None
    """File to which the numbers are written."""


@contextlib.contextmanager
def generating(renderer: Backend) -> Iterator[Step]:
    """Generate a small dataset again and again, now and then by two processes."""
    prior, count = tabletop_prior(), [0]
    with tempfile.TemporaryDirectory() as scratch:

        def step() -> int:
            count[0] += 1
            folder = Path(scratch) / "d"
            config = GenerateConfig("tabletop", 64, count[0], prior, renderer=renderer, scenes_per_shard=32)
            recipe = SceneRecipe(config, partial(make_renderer, backend=renderer, workers=1))
            with Build(config, folder) as build:
                build.run(recipe, {}, 2 if count[0] % _POOL_EVERY == 0 else 1, lambda scenes: None)
            shutil.rmtree(folder)
            return config.num

        yield step


@contextlib.contextmanager
def rendering(renderer: Backend) -> Iterator[Step]:
    """Draw batches of changing size in colour, segmentation and depth; now and then open the renderer anew."""
    rng, prior = np.random.default_rng(0), tabletop_prior()
    scenes = ScenePrior(prior).sample_batch(rng, 512)
    config = RenderConfig(scenes.kinds, scenes.table, prior.max_objects, 64, 64)
    with contextlib.ExitStack() as stack:
        drawn, calls = [stack.enter_context(make_renderer(config, renderer))], [0]

        def step() -> int:
            calls[0] += 1
            if calls[0] % _REOPEN_EVERY == 0:
                stack.close()
                drawn[0] = stack.enter_context(make_renderer(config, renderer))
            batch = scenes[rng.integers(len(scenes), size=rng.integers(1, 257))]
            (drawn[0].render, drawn[0].render_segmentation, drawn[0].render_frames)[calls[0] % 3](batch)
            return len(batch)

        for make in ("render", "render_segmentation", "render_frames"):  # the largest batch comes first
            getattr(drawn[0], make)(scenes[:256])
        yield step


@contextlib.contextmanager
def viewing(renderer: Backend) -> Iterator[Step]:
    """Serve the viewer; pages are loaded, and browsers come and go."""
    import viser
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    speaks = [Subprotocol(f"viser-v{viser.__version__}")]  # viser turns others away
    command = [sys.executable, "-m", "air3d", "view", "single-object", "--num", "4", "--port", "0", "--quiet"]
    with subprocess.Popen([*command, "--renderer", renderer], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+:\d+", server.stdout.readline())
            if found is None:
                raise InputError("view: it did not say where it listens")
            url = found[0]

            def step() -> int:
                with urllib.request.urlopen(url, timeout=30) as page:
                    page.read()
                address = url.replace("http", "ws", 1)
                with contextlib.suppress(TimeoutError), connect(address, subprotocols=speaks, max_size=None) as browser:
                    for _ in range(20):
                        browser.recv(timeout=0.2)
                return 1

            yield step
        finally:
            server.terminate()


WORK: dict[Work, Callable[[Backend], contextlib.AbstractContextManager[Step]]] = {
    "generate": generating,
    "render": rendering,
    "view": viewing,
}


def soak(work: Work, renderer: Backend, seconds: float) -> tuple[Memory, Held, Held]:
    """Watch one kind of work: its memory, and what it holds after the warm-up and at the end."""
    with WORK[work](renderer) as step:
        for _ in range(_WARM_UP[work]):
            step()
        before = Held.now()
        memory = watch_memory(step, seconds)
        time.sleep(0.5)  # connections that were closed a moment ago
        return memory, before, Held.now()


def can_view() -> bool:
    """Whether this version has the viewer, and its library is here."""
    done = subprocess.run([sys.executable, "-m", "air3d", "view", "--help"], capture_output=True, check=False)
    return done.returncode == 0


def main(args: Args) -> int:
    """Watch, print, write; return 0 if nothing leaked."""
    if not 0.0 < args.minutes <= 60.0 * 24.0:
        raise InputError(f"--minutes is {args.minutes}; use more than 0 and at most a day")
    renderer = choose_backend("inference", reference=True).backend if args.renderer == "auto" else args.renderer
    results, leaks = {}, 0
    for work in args.work:
        if work == "view" and not can_view():
            print("view: skipped; this version has no viewer, or its extra is not installed")
            continue
        memory, before, after = soak(work, renderer, 60.0 * args.minutes)
        more = {
            name: (old, new) for (name, old), new in zip(asdict(before).items(), asdict(after).values(), strict=True)
        }
        leaked = {name: f"{old} -> {new}" for name, (old, new) in more.items() if new > old}
        good = memory.flat and not leaked
        leaks += not good
        print(
            f"{work} ({renderer}): {memory.work:,} {_UNITS[work]} in {memory.seconds:.0f} s; resident "
            f"{memory.start_mib:.1f} -> {memory.end_mib:.1f} MiB ({memory.growth_percent:+.2f} %); "
            f"{after.processes} processes, {after.threads} threads, {after.files} files, {after.shared_blocks} shared "
            f"blocks; leaked: {leaked or 'nothing'}",
            flush=True,
        )
        results[work] = {**asdict(memory), "before": asdict(before), "after": asdict(after)}
    if args.json is not None:
        write_json(args.json, results)
    return 1 if leaks else 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
