"""`air3d view`: scenes and what was inferred of them, in the browser."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from air3d.cli.progress import ProgressReport, say
from air3d.renderers.choice import Backend, make_renderer
from air3d.renderers.protocol import RenderConfig
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError
from air3d.scene3d.scene_json import picture_size
from air3d.viewer.explainer import Explainer
from air3d.viewer.gallery import Entry, Gallery
from air3d.viewer.server import Server, check_viser, free_port
from air3d.viewer.source import Named, Request, Source, open_source

_MOST_SAMPLES = 256
# The height of pictures that no model looks at.
_ROWS = 240


@dataclass(frozen=True)
class Args:
    """Look at scenes and at what a model infers of them, in the browser.

    Shows the table in 3D, the truth as ghosts and the inference solid, both cameras, the input and the answer's
    rendering, posterior samples on a slider, and infers pictures that are dropped onto the page. Ctrl-C ends it.
    """

    what: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA_OR_RUN")]]
    """A dataset, a run or model folder, the name of a shipped model such as tabletop, or a scene file (.json)."""

    model: str | None = None
    """Model that explains a dataset or a scene file: a folder or a shipped model; default: a shipped one that fits."""

    data: Path | None = None
    """Dataset to look at with a run or a model; without it, fresh scenes drawn from the model's prior."""

    num: int = 100
    """How many scenes are shown at most."""

    samples: int = 16
    """Posterior samples on the slider, drawn when they are looked at; 0 for none."""

    seed: int = 0
    """Seeds the fresh scenes and the samples."""

    host: str = "127.0.0.1"
    """Address to listen on. The default is this machine alone; 0.0.0.0 lets everyone in who can reach it."""

    port: int = 8080
    """Port to listen on; if it is taken, the next free one. 0 takes any."""

    dark: bool = False
    """Start with dark colours; every tab can change that for itself."""

    renderer: Backend = "auto"
    """The renderer that inference uses."""

    quiet: bool = False
    """Show no progress."""


def run(args: Args) -> int:
    """Serve until Ctrl-C, which ends it, like every command, with exit code 130."""
    check_viser()
    if not 0 <= args.samples <= _MOST_SAMPLES:
        raise InputError(f"view: --samples {args.samples}: use 0 to {_MOST_SAMPLES}")
    source = open_source(Request(args.what, args.model, args.data, args.num, args.seed))
    port = free_port(args.host, args.port)
    with contextlib.ExitStack() as stack:
        explainer = None
        if source.named is not None:
            explainer = stack.enter_context(_explainer(args, source.named))
            entries = _explained(source, explainer, args.quiet)
        else:
            say(f"{args.what}: no shipped model fits; shown without an inference (--model names one of yours)")
            entries = bare_entries(source, args)
        server = stack.enter_context(Server(args.host, port, source.title, Gallery(entries), explainer, args.dark))
        if args.port not in (0, server.port):
            say(f"port {args.port} is taken; using {server.port}")
        host = f"[{args.host}]" if ":" in args.host else args.host
        print(f"{source.title}: http://{host}:{server.port} (Ctrl-C ends it)", flush=True)  # noqa: T201
        threading.Event().wait()
    return 0


def _explainer(args: Args, named: Named) -> Explainer:
    config = named.model.render_config
    return Explainer(named.model, lambda: make_renderer(config, args.renderer), args.samples, args.seed)


def _explained(source: Source, explainer: Explainer, quiet: bool) -> tuple[Entry, ...]:
    images = explainer.draw(source.scenes) if source.images is None else source.images
    with ProgressReport("scenes", len(images), quiet=quiet) as progress:
        return explainer.explain(source.names, images, source.scenes, progress.advance)


def bare_entries(source: Source, args: Args) -> tuple[Entry, ...]:
    """Entries without an inference, for scenes that no model explains."""
    images = _drawn(source, args) if source.images is None else source.images
    return tuple(Entry(name, images[b], source.scenes[b]) for b, name in enumerate(source.names))


def _drawn(source: Source, args: Args) -> NDArray[np.uint8]:
    """Draw the scene of a file in the shape of its own image."""
    batch, (width, height) = SceneBatch.from_scenes(source.scenes), picture_size(Path(args.what), _ROWS)
    config = RenderConfig(
        batch.kinds, batch.table, batch.slots, height, width, varied=batch.varied, pictures=batch.pictures
    )
    with make_renderer(config, args.renderer) as renderer:
        return renderer.render(batch)
