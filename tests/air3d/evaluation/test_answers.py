"""Answers of a model, polished."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from air3d.evaluation import answers
from air3d.scenes.likelihood import Likelihood
from air3d.scenes.refine import RefineConfig
from air3d.scenes.store import load_model


def test_refinement_goes_by_the_models_own_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Likelihood(0.1, "hyperbolic")
    model: Any = replace(load_model("single-object").model, likelihood=own)

    def polish(*given: Any) -> None:
        assert any(each is own for each in given)
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "refine", polish)
    with pytest.raises(ZeroDivisionError):
        answers.answer(model, None, np.zeros((1, model.image_size, model.image_size, 3), np.uint8), RefineConfig(3))  # type: ignore[arg-type]
