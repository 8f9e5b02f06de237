"""Fits the guide to scenes whose latents are known: the sleep phase, and AIR's supervised rival."""

from __future__ import annotations

import math

from torch import Tensor, nn

from air3d.distributions.parts import each
from air3d.estimators.common import softened
from air3d.scene3d.support import Support
from air3d.scenes.latents import Objects
from air3d.scenes.one_look import OneLookGuide

# Of the squared error of position, which is measured in radii of a disc as large as the support.
POSITION_WEIGHT = 30.0


def density_loss(
    guide: OneLookGuide,
    images: Tensor,
    labels: Objects,
    warm: bool,
    position_weight: float = POSITION_WEIGHT,
) -> Tensor:
    """Minus the mean log-likelihood of the labels, softened beyond 3 nats; if `warm`, position by squared error.

    The guide's Gaussian lives on the unbounded plane, where an object near the support's rim is thousands of nats away
    until its place is known. From a cold start those few objects widen every posterior to its limit and saturate the
    network in its first steps. So position is found by squared error first, and a loss beyond 3 nats counts by its
    logarithm.

    Args:
        images: (B, 3, S, S) in [0, 1].
        labels: the labels, (B,).
        warm: holds at first, for a tenth of the fitting or so.
        position_weight: the weight of the squared error, beside the kind's cross-entropy and the yaw's log-likelihood.
    """
    state = guide(images)
    if warm:
        kind = nn.functional.cross_entropy(guide.kind_logits(state), labels.kind)
        yaw = -guide.yaw(state, labels.kind, labels.place_m).log_prob(labels.yaw_rad).mean()
        found = guide.position(state, labels.kind).mode()
        return kind + yaw + position_weight * place_error(found, labels, guide.place)
    return softened(-guide.log_prob(state, each(labels, lambda part: part[:, None]))).mean()


def place_error(place_m: Tensor, labels: Objects, place: Support) -> Tensor:
    """Mean squared distance from the labels' positions (B, 2), in squared radii of a disc as large as the support."""
    return math.pi * math.exp(-place.log_area) * (place_m - labels.place_m).square().sum(-1).mean()
