"""Attend, Infer, Repeat in 3D: generate scenes, render them, and infer them back from images.

The names below are loaded when they are first used: `import air3d` alone loads neither torch nor MuJoCo.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if "torch" not in sys.modules:
    # Read by OpenMP when torch is loaded: waiting threads would otherwise spin on the cores that others need. Two of
    # them beside one busy process would be several times slower than one (benchmarks/busy_threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from air3d.api import generate, infer, load, render
    from scene3d.errors import InputError
    from scene3d.presets import single_prior, tabletop_prior
    from scene3d.scene import Camera, Scene, SceneObject
    from scene3d.scene_json import load_scene, scene_to_json

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "InputError",
    "Scene",
    "SceneObject",
    "generate",
    "infer",
    "load",
    "load_scene",
    "render",
    "scene_to_json",
    "single_prior",
    "tabletop_prior",
]

_HOMES = {
    "air3d.api": ("generate", "infer", "load", "render"),
    "scene3d.errors": ("InputError",),
    "scene3d.presets": ("single_prior", "tabletop_prior"),
    "scene3d.scene": ("Camera", "Scene", "SceneObject"),
    "scene3d.scene_json": ("load_scene", "scene_to_json"),
}


if not TYPE_CHECKING:  # type checkers know the names from the imports above, and misspelt ones by their lack

    def __getattr__(name: str) -> Any:
        for module, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(module), name)
        raise AttributeError(f"module 'air3d' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
