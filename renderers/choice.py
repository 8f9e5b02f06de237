"""The choice of a backend by name, and what `auto` picks on this machine."""

from __future__ import annotations

import importlib
from typing import Literal, NamedTuple, get_args

from renderers.probe import probe_gl, probe_warp
from renderers.protocol import RenderConfig, Renderer
from scene3d.errors import InputError

Backend = Literal["auto", "gl", "gl_pool", "layers", "warp", "analytic"]

_CLASSES = {
    "gl": ("renderers.gl", "GlRenderer"),
    "gl_pool": ("renderers.gl_pool", "GlPoolRenderer"),
    "layers": ("renderers.layers", "LayersRenderer"),
    "warp": ("renderers.warp", "WarpRenderer"),
    "analytic": ("renderers.analytic", "AnalyticRenderer"),
}


class Choice(NamedTuple):
    """A backend and one line that says why."""

    backend: str
    reason: str
    slow: bool


def choose_backend() -> Choice:
    """What `auto` means here: OpenGL where a context can be made, else MuJoCo Warp.

    Raises:
        InputError: if neither works; the message says what to install.
    """
    gl, warp = probe_gl(), probe_warp()
    if gl.platform is not None:
        return Choice("gl", f"OpenGL by {gl.platform.upper()}: {gl.renderer}", slow=False)
    if warp.devices:
        where = ", ".join(warp.devices)
        slow = not any(device.startswith("cuda") for device in warp.devices)
        return Choice("warp", f"no OpenGL context ({gl.error}); MuJoCo Warp on {where}", slow)
    raise InputError(
        f"nothing can render here: no OpenGL ({gl.error}), no MuJoCo Warp ({warp.reason}); run 'air3d doctor'"
    )


def make_renderer(config: RenderConfig, backend: str = "auto") -> Renderer:
    """A renderer; its module is imported only now.

    Raises:
        InputError: for an unknown backend, or one that cannot work here.
    """
    if backend not in get_args(Backend):
        raise InputError(f"unknown renderer '{backend}': use one of {', '.join(get_args(Backend))}")
    name = choose_backend().backend if backend == "auto" else backend
    module, cls = _CLASSES[name]
    try:
        made: Renderer = getattr(importlib.import_module(module), cls)(config)
    except ModuleNotFoundError as error:
        raise InputError(f"renderer '{name}' needs the package '{error.name}': pip install 'air3d[{name}]'") from None
    return made
