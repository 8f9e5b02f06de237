"""Polishes a model's answers: it reconsiders them, and then they climb the likelihood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from air3d.renderers.protocol import Renderer
from air3d.scene3d.batch import SceneBatch
from air3d.scenes.depth import Images
from air3d.scenes.guide import Guide
from air3d.scenes.model import SceneModel
from air3d.scenes.reconsider import reconsider
from air3d.scenes.refine import RefineConfig, refine


def polish(
    model: SceneModel[Guide], renderer: Renderer, images: Images, scenes: SceneBatch, config: RefineConfig
) -> tuple[SceneBatch, int]:
    """Reconsider B answers to images, then let them climb with what is left of each one's renders.

    Returns:
        The answers, and the most renders that one took.
    """
    spent = np.zeros(len(images), np.int64)
    if config.candidates:
        generator = torch.Generator(model.device).manual_seed(config.seed)
        scenes, spent = reconsider(model, renderer, images, scenes, config.candidates, config.renders // 2, generator)
    parts, order, most = [], [], 0
    for taken in np.unique(spent).tolist():
        rows = np.flatnonzero(spent == taken)
        rest = replace(config, renders=config.renders - taken)
        found = refine(images[rows], scenes[rows], model.world, renderer, rest, model.likelihood)
        parts.append(found.scenes)
        order.append(rows)
        most = max(most, taken + found.renders_per_image)
    return SceneBatch.concatenate(parts)[np.argsort(np.concatenate(order))], most
