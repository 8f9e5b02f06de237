"""The gradient estimators of the wake phase, by name: what each stage learns from its candidates.

A stage has K candidates z_k of one block of latents, given all others, and log w_k = beta * (what z_k gains over the
scene as it is) + log p(z_k) - log q(z_k). `rws` weighs them; some are drawn from elsewhere than the guide, and log w
has their density in place of q's. The others need draws of the guide alone, and are score functions: `lr` and
`lr-nvil` are unbiased for the gradient of E_q[log w], the ELBO of the block at the temperature beta, `vimco` for that
of its K-sample bound. That holds for a temperature that is given; where a schedule sets it from the same candidates,
not over that. An object is never weighed against its absence, which is what score functions of whole scenes collapse
into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn

from air3d.datasets.image_size import ImageSize
from air3d.estimators import lr, rws, vimco
from air3d.estimators.common import Surrogate
from air3d.scenes.learner import LearnedBaseline

Stage = Literal["camera", "object", "scene"]
StagewiseName = Literal["rws", "lr", "lr-nvil", "vimco"]

_SURROGATES: dict[str, Callable[[Tensor, Tensor], Surrogate]] = {
    "rws": rws.surrogate,
    "lr": lr.surrogate,
    "vimco": vimco.surrogate,
}


class StageEstimator(nn.Module):
    """The estimator of all stages; of `lr-nvil`, with a learned baseline of each.

    Args:
        name: its name, a `StagewiseName`.
        size: the size of the images.
    """

    def __init__(self, name: str, size: ImageSize) -> None:
        super().__init__()
        self.name = name
        learned = get_args(Stage) if name == "lr-nvil" else ()
        self.baselines = nn.ModuleDict({stage: LearnedBaseline(size) for stage in learned})

    @property
    def weighs(self) -> bool:
        """Tell whether candidates may come from elsewhere than the guide."""
        return self.name == "rws"

    def loss(self, stage: Stage, pictures: Tensor, log_q: Tensor, log_weight: Tensor) -> Tensor:
        """Compute the loss of a stage, a mean over images.

        Args:
            pictures: (B, 3, H, W), from which a baseline is predicted.
            log_q: (B, K), differentiable in the guide.
            log_weight: (B, K), constants.
        """
        if self.name == "lr-nvil":
            baseline = self.baselines[stage]
            assert isinstance(baseline, LearnedBaseline)
            return baseline.surrogate(pictures, log_q, log_weight).loss
        return _SURROGATES[self.name](log_q, log_weight).loss
