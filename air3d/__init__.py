"""Attend, Infer, Repeat in 3D: generate scenes, render them, and infer them back from images.

The names below are loaded when they are first used: `import air3d` alone loads neither torch nor MuJoCo. It registers
the environment "air3d/TableTop-v0" with Gymnasium, which finds those of other packages in no other way.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if "torch" not in sys.modules:
    # Read by OpenMP when torch is loaded: waiting threads would otherwise spin on the cores that others need. Two of
    # them beside one busy process are slower than one (benchmarks/busy_threads.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from air3d.api import generate, infer, load, posterior, render
    from air3d.scene3d.errors import InputError
    from air3d.scene3d.orbit import Orbit
    from air3d.scene3d.presets import single_prior, tabletop_prior
    from air3d.scene3d.scene import Scene, SceneObject
    from air3d.scene3d.scene_json import load_scene, scene_to_json

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Orbit",
    "Scene",
    "SceneObject",
    "generate",
    "infer",
    "load",
    "load_scene",
    "posterior",
    "render",
    "scene_to_json",
    "single_prior",
    "tabletop_prior",
]

_HOMES = {
    "air3d.api": ("generate", "infer", "load", "posterior", "render"),
    "air3d.scene3d.errors": ("InputError",),
    "air3d.scene3d.presets": ("single_prior", "tabletop_prior"),
    "air3d.scene3d.orbit": ("Orbit",),
    "air3d.scene3d.scene": ("Scene", "SceneObject"),
    "air3d.scene3d.scene_json": ("load_scene", "scene_to_json"),
}


class _RegisterWithGymnasium(importlib.abc.MetaPathFinder):
    """Registers the environment as soon as Gymnasium is imported, so that commands need not wait for that import."""

    met = False

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != "gymnasium" or self.met:
            return None
        self.met = True
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                importlib.import_module("air3d.environments")

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    importlib.import_module("air3d.environments")
else:
    sys.meta_path.insert(0, _RegisterWithGymnasium())


if not TYPE_CHECKING:  # type checkers know the names from the imports above, and misspelt ones by their lack

    def __getattr__(name: str) -> Any:
        for module, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(module), name)
        raise AttributeError(f"module 'air3d' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
