"""Runs episodes side by side: targets, scenes and pictures are arrays, and a step draws one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import ArrayLike, NDArray

from air3d.datasets.pictures import as_pictures
from air3d.environments.actions import ActionLayout
from air3d.environments.config import EnvironmentConfig
from air3d.environments.editing import Edited, SceneEditor
from air3d.environments.likelihood import Likelihood
from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch, as_scenes
from air3d.scene3d.errors import InputError
from air3d.scene3d.prior import ScenePrior
from air3d.scene3d.scene import Scene

# Proposals drawn at once: bounds the memory that their pictures take.
_CHUNK = 1024

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


class Outcome(NamedTuple):
    """The outcome of a step for each of B episodes.

    Attributes:
        reward: (B,), the gain in log-likelihood, nats per number of the picture.
        terminated: (B,), whether the episode has stopped, or its picture is as good as the target.
        valid: (B,), False where the action was refused.
    """

    reward: Floats
    terminated: Flags
    valid: Flags


class _New(NamedTuple):
    """R episodes that begin: their rows (R,), first scenes, true scenes (none if targets are given), and targets."""

    rows: NDArray[np.int64]
    first: SceneBatch
    truth: SceneBatch
    targets: Pixels | None


class Episodes:
    """`count` episodes of one configuration.

    Attributes:
        targets, pictures: (B, S, S, 3) uint8, the images to explain and the renders of the scenes.
        scenes: the B scenes as they are now.
        truth: the B scenes that the targets show; `known` (B,) is False where a target came as an image.
        squared_error: (B,), the sum of squared differences of target and (blurred) picture, in units of 1 / 255^2.
        renders: (B,), how many scenes each episode has drawn, those of its target and start included.
    """

    def __init__(self, config: EnvironmentConfig, renderer: Renderer, count: int) -> None:
        self.config, self.layout = config, ActionLayout(config)
        self._renderer, self._prior = renderer, ScenePrior(config.prior)
        self._editor, self._likelihood = SceneEditor(config.prior), Likelihood(config)
        self.scenes = self.truth = self._editor.pack([self._editor.empty()] * count)
        self.targets = np.zeros((count, config.image_size, config.image_size, 3), np.uint8)
        self.pictures = self.targets.copy()
        self.known = np.zeros(count, np.bool_)
        self.squared_error = np.zeros(count)
        self.renders = np.zeros(count, np.int64)

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def log_likelihood(self) -> Floats:
        """log N(x | render(z), sigma^2 I), (B,), nats; for blurred pictures if the configuration says so."""
        return self._likelihood.log_prob(self.squared_error)

    def begin(
        self,
        rows: Sequence[int],
        generators: Sequence[np.random.Generator],
        targets: object = None,
        starts: Scene | Iterable[Scene] | None = None,
    ) -> None:
        """Begin new episodes in some rows.

        Args:
            generators: draw the true scenes, one generator for each row.
            targets: the R pictures to explain instead of drawn scenes, of any form that
                `air3d.datasets.pictures.as_pictures` takes; the generators are then left alone.
            starts: the first scenes; default: the bare table.

        Raises:
            InputError: for what is no picture, or starts that do not fit the setting.
        """
        self._advance(self.scenes, np.zeros(len(self), np.bool_), self._new(rows, generators, targets, starts))

    def step(self, actions: ArrayLike, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> Outcome:
        """Do one step of every episode but those of `rows`, which begin anew instead: reward 0, not terminated.

        Args:
            actions: (B, A).

        Raises:
            InputError: for actions of another shape, or not finite.
            ResetNeeded: before every episode has begun.
        """
        edited = self._edit(self.scenes, actions)
        goes_on = np.ones(len(self), np.bool_)
        goes_on[list(rows)] = False
        before = self.squared_error
        new = self._new(rows, generators) if len(rows) else None
        self._advance(edited.scenes, goes_on & edited.valid & ~edited.stopped, new)
        near = self._likelihood.nats_per_number(self.squared_error) <= self.config.tolerance
        reward = np.where(goes_on, self._likelihood.nats_per_number(before - self.squared_error), 0.0)
        return Outcome(reward, goes_on & (edited.stopped | near), edited.valid | ~goes_on)

    def preview(self, actions: NDArray[np.floating]) -> Floats:
        """The rewards (B, K) that each of K actions (B, K, A) would bring; nothing changes but the count of renders."""
        b, k = actions.shape[:2]
        owner = np.arange(len(self)).repeat(k)
        edited = self._edit(self.scenes[owner], actions.reshape(b * k, -1))
        error = self.squared_error[owner]
        changed = np.flatnonzero(edited.valid & ~edited.stopped)
        for start in range(0, len(changed), _CHUNK):
            chosen = changed[start : start + _CHUNK]
            pictures = self._renderer.render(edited.scenes[chosen])
            error[chosen] = self._likelihood.squared_error(self.targets[owner[chosen]], pictures)
        self.renders = self.renders + np.bincount(owner[changed], minlength=b)
        return self._likelihood.nats_per_number(self.squared_error[:, None] - error.reshape(b, k))

    def _edit(self, scenes: SceneBatch, actions: ArrayLike) -> Edited:
        if not self.renders.all():
            raise ResetNeeded("call reset before step")
        commands = self.layout.decode(actions)
        if len(commands.operation) != len(scenes):
            raise InputError(f"action: {len(commands.operation)} actions for {len(scenes)} scenes; give one for each")
        return self._editor.apply(scenes, commands)

    def _new(
        self,
        rows: Sequence[int],
        generators: Sequence[np.random.Generator],
        targets: object = None,
        starts: Scene | Iterable[Scene] | None = None,
    ) -> _New:
        drawn = [] if targets is not None else [self._prior.sample(generator) for generator in generators]
        first = self._editor.pack([self._editor.empty()] * len(rows) if starts is None else as_scenes(starts))
        if len(first) != len(rows):
            raise InputError(f"environment: {len(first)} scenes to start from; give {len(rows)}, one for each episode")
        pictures = None
        if targets is not None:
            pictures = as_pictures(targets, self.config.image_size)
            if len(pictures) != len(rows):
                raise InputError(f"environment: {len(pictures)} targets; give {len(rows)}, one for each episode")
        return _New(np.array(rows, np.int64), first, self._editor.pack(drawn), pictures)

    def _advance(self, scenes: SceneBatch, changed: Flags, new: _New | None) -> None:
        """Take over `scenes`, of which `changed` (B,) look different, and new episodes; draws one batch."""
        rows = np.flatnonzero(changed)
        batch = scenes[rows]
        if new is not None:
            batch = SceneBatch.concatenate([batch, new.first, new.truth])
            scenes, rows = _replaced(scenes, new.rows, new.first), np.concatenate([rows, new.rows])
        pictures = self._renderer.render(batch) if len(batch) else self.pictures[:0]
        self.scenes, self.pictures[rows] = scenes, pictures[: len(rows)]
        self.renders = self.renders + changed
        if new is not None:
            self.targets[new.rows] = pictures[len(rows) :] if new.targets is None else new.targets
            self.known[new.rows], self.renders[new.rows] = new.targets is None, 1 + len(new.truth) // len(new.rows)
            self.truth = _replaced(self.truth, new.rows, new.truth if new.targets is None else new.first)
        self.squared_error = self.squared_error.copy()
        self.squared_error[rows] = self._likelihood.squared_error(self.targets[rows], self.pictures[rows])


def _replaced(scenes: SceneBatch, rows: NDArray[np.int64], new: SceneBatch) -> SceneBatch:
    index = np.arange(len(scenes))
    index[rows] = len(scenes) + np.arange(len(rows))
    return SceneBatch.concatenate([scenes, new])[index]
