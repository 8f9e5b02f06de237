"""The child process of `gl_pool`: one OpenGL renderer that draws into shared memory."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Literal, NamedTuple

import numpy as np

from air3d.renderers.protocol import Frames, RenderConfig, Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scene3d.errors import InputError

Content = Literal["rgb", "frames", "segmentation"]


class Job(NamedTuple):
    """Scenes to draw into places [start, start + len(scenes)) of a shared block.

    Attributes:
        block: the name of the block.
        capacity: how many images the block holds.
        start: the first place.
        content: names the pictures that are drawn.
        scenes: the scenes; small arrays, so they are sent, and only pictures are shared.
    """

    block: str
    capacity: int
    start: int
    content: Content
    scenes: SceneBatch


def block_bytes(config: RenderConfig, capacity: int) -> int:
    """The size of a block for `capacity` images, bytes."""
    return capacity * config.height * config.width * 8


def block_arrays(block: SharedMemory, config: RenderConfig, capacity: int) -> Frames:
    """View a block as arrays over all its places: depth first, for alignment, then colour, then segmentation."""
    shape = (capacity, config.height, config.width)
    pixels = capacity * config.height * config.width
    depth = np.ndarray(shape, np.float32, block.buf, 0)
    rgb = np.ndarray((*shape, 3), np.uint8, block.buf, 4 * pixels)
    return Frames(rgb, depth, np.ndarray(shape, np.uint8, block.buf, 7 * pixels))


def serve(pipe: Connection, config: RenderConfig) -> None:
    """Run the process: say ("ready", None), then answer every job with ("done", None) or ("error", text).

    Ends when the pipe closes, so it never outlives its parent.
    """
    # Both are read when the libraries are loaded; the processes are the parallelism.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("LP_NUM_THREADS", "0")
    from air3d.renderers.gl import GlRenderer

    try:
        renderer = GlRenderer(config)
        pipe.send(("ready", None))
        block: SharedMemory | None = None
        while True:
            job: Job = pipe.recv()
            try:
                if block is None or block.name != job.block:
                    if block is not None:
                        block.close()
                    block = SharedMemory(job.block)
                _draw(renderer, job, block_arrays(block, config, job.capacity))
                pipe.send(("done", None))
            except InputError as error:
                pipe.send(("error", str(error)))
    except InputError as error:
        pipe.send(("error", str(error)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _draw(renderer: Renderer, job: Job, pictures: Frames) -> None:
    places = slice(job.start, job.start + len(job.scenes))
    if job.content == "rgb":
        pictures.rgb[places] = renderer.render(job.scenes)
    elif job.content == "segmentation":
        pictures.segmentation[places] = renderer.render_segmentation(job.scenes)
    else:
        frames = renderer.render_frames(job.scenes)
        pictures.rgb[places], pictures.depth_m[places] = frames.rgb, frames.depth_m
        pictures.segmentation[places] = frames.segmentation
