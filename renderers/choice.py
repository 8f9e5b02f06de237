"""Chooses a backend by name, or for `auto` by what works on this machine."""

from __future__ import annotations

import importlib
from typing import Literal, NamedTuple, get_args

from air3d.renderers.probe import cuda_driver_loads, probe_gl, probe_warp
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.child_processes import check_main_guard
from air3d.scene3d.errors import InputError, shown
from air3d.scene3d.kind import Detail

Backend = Literal["auto", "raster", "gl", "gl_pool", "layers", "warp", "analytic"]

_CLASSES = {
    "raster": ("air3d.renderers.raster", "RasterRenderer"),
    "gl": ("air3d.renderers.gl", "GlRenderer"),
    "gl_pool": ("air3d.renderers.gl_pool", "GlPoolRenderer"),
    "layers": ("air3d.renderers.layers", "LayersRenderer"),
    "warp": ("air3d.renderers.warp", "WarpRenderer"),
    "analytic": ("air3d.renderers.analytic", "AnalyticRenderer"),
}


class Choice(NamedTuple):
    """A backend and one line that says why."""

    backend: str
    reason: str
    slow: bool


def choose_backend(detail: Detail = "inference", reference: bool = False) -> Choice:
    """Choose the backend that `auto` means on this machine.

    Args:
        detail: the level of detail to draw. Inference detail goes to MuJoCo Warp where CUDA is, else to the software
            rasteriser, which is several times as fast as OpenGL on a CPU and draws the same picture.
        reference: asks for OpenGL, if it works, as datasets and display pictures do.

    Raises:
        InputError: if nothing can draw it; the message says what to install.
    """
    if detail == "inference" and not reference:
        if cuda_driver_loads() and (on_cuda := [d for d in probe_warp().devices if d.startswith("cuda")]):
            return Choice("warp", f"MuJoCo Warp on {', '.join(on_cuda)}", slow=False)
        return Choice("raster", "software rasteriser; draws what OpenGL draws, faster on a CPU", slow=False)
    gl = probe_gl()
    if gl.platform is not None:
        return Choice("gl", f"OpenGL by {gl.platform.upper()}: {gl.renderer}", slow=False)
    if detail == "inference":
        return Choice("raster", f"no OpenGL context ({gl.error}); the software rasteriser draws the same", slow=False)
    warp = probe_warp()
    if warp.devices:
        slow = not any(device.startswith("cuda") for device in warp.devices)
        return Choice("warp", f"no OpenGL context ({gl.error}); MuJoCo Warp on {', '.join(warp.devices)}", slow)
    raise InputError(
        f"display detail cannot be drawn here: no OpenGL ({gl.error}), no MuJoCo Warp ({warp.reason}); "
        "run 'air3d doctor', or use inference detail"
    )


def check_backend(backend: object) -> None:
    """Raise InputError unless it is the name of a backend, or "auto"."""
    if not isinstance(backend, str) or backend not in get_args(Backend):
        raise InputError(f"unknown renderer {shown(backend)}: use one of {', '.join(get_args(Backend))}")


def make_renderer(config: RenderConfig, backend: str = "auto", workers: int | None = None) -> Renderer:
    """Make a renderer; its module is imported only now.

    Args:
        workers: how many threads `raster` or processes `gl_pool` uses; default: one for every core. Others work alone.

    Raises:
        InputError: for an unknown backend, or one that cannot work here.
    """
    check_backend(backend)
    check_main_guard()
    name = choose_backend(config.detail).backend if backend == "auto" else backend
    module, cls = _CLASSES[name]
    try:
        make = getattr(importlib.import_module(module), cls)
        made: Renderer = make(config, workers) if name in ("raster", "gl_pool") else make(config)
    except ModuleNotFoundError as error:
        package = "'air3d[warp]'" if name == "warp" else error.name
        raise InputError(f"renderer '{name}' needs the package '{error.name}': pip install {package}") from None
    return made
