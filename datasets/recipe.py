"""Recipes make the samples of a dataset: the protocol that shards and workers use, and the recipe of scenes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from air3d.datasets.config import GenerateConfig
from air3d.datasets.generation import generate_scenes
from air3d.datasets.samples import encode_sample
from air3d.renderers.protocol import RenderConfig, Renderer
from air3d.scene3d.own_kinds import unpack

RendererFactory = Callable[[RenderConfig], Renderer]
Samples = Callable[[range], Iterator[Mapping[str, bytes]]]


class Recipe(Protocol):
    """Makes the samples of one dataset. It is sent to the workers, so it must be picklable."""

    def open(self) -> AbstractContextManager[Samples]:
        """Return, for one process, a function from indices to the members of their samples, in order, by name."""
        ...


@dataclass(frozen=True)
class SceneRecipe:
    """Makes rendered scenes.

    Attributes:
        config: describes the dataset.
        make_renderer: makes the renderer of one process; must be picklable.
        own_kinds: the files of the user's own kinds (`air3d.scene3d.own_kinds.packed`), for machines without them.
        pictures: those that backdrops are cut from (`air3d.datasets.picture_folder`).
    """

    config: GenerateConfig
    make_renderer: RendererFactory
    own_kinds: Mapping[str, bytes] = field(default_factory=dict)
    pictures: tuple[NDArray[np.uint8], ...] = ()

    @contextlib.contextmanager
    def open(self) -> Iterator[Samples]:
        """Open as `Recipe` says; one renderer serves all samples of a process."""
        unpack(self.own_kinds)
        with self.make_renderer(self.config.render_config) as renderer:

            def samples(indices: range) -> Iterator[Mapping[str, bytes]]:
                made = generate_scenes(self.config, indices, renderer, self.pictures)
                return (encode_sample(scene) for scene in made)

            yield samples
