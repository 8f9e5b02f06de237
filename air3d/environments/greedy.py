"""A greedy agent: tries K random actions and takes the one that explains the picture best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from air3d.environments.actions import ActionLayout
from air3d.environments.vector import TabletopVectorEnv
from air3d.scene3d.errors import InputError

# Parameters of half the proposals are shrunk, by up to 2^-5: coarse steps first, fine ones once they no longer pay.
_FINEST = 5


def propose(layout: ActionLayout, rng: np.random.Generator, envs: int, proposals: int) -> NDArray[np.float32]:
    """Draw actions (N, K, A) that never stop; the first of each K does nothing, the parameters of half are shrunk."""
    actions = rng.uniform(-1.0, 1.0, (envs, proposals, layout.size))
    shrink = 2.0 ** -rng.integers(0, _FINEST + 1, (envs, proposals, 1))
    shrink = np.where(rng.random(shrink.shape) < 0.5, shrink, 1.0)
    for name in ("place", "turn", "camera"):
        actions[..., layout.parts[name]] *= shrink
    actions[..., layout.parts["operation"].start + layout.operations.index("stop")] = -1.0
    actions[:, 0] = layout.encode("move")
    return actions.astype(np.float32)


def greedy_actions(envs: TabletopVectorEnv, proposals: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Choose actions (N, A): for each environment the one of `proposals` with the highest reward; all are drawn.

    The reward is never negative, since moving nothing is among the proposals. There must be two of them at least.
    """
    if proposals < 2:
        raise InputError(f"greedy agent: {proposals} proposals; give 2 or more")
    actions = propose(envs.layout, rng, envs.num_envs, proposals)
    best = envs.preview(actions).argmax(1)
    return np.asarray(actions[np.arange(envs.num_envs), best])
