"""The truncated geometric prior of counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from air3d.distributions.z_pres import CountPrior
from air3d.scene3d.errors import InputError


@pytest.mark.parametrize("success", [1e-5, 0.01, 0.5, 1.0, 7.0])
@pytest.mark.parametrize("most", [0, 1, 3, 9])
def test_it_is_normalised_and_geometric(success, most):
    log_p = CountPrior(success).log_prob(most)
    assert log_p.shape == (most + 1,)
    assert float(log_p.double().exp().sum()) == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(log_p.diff(), torch.full((most,), math.log(success)).double(), atol=1e-5)


def test_it_is_scipys_geometric_cut_off():
    found = CountPrior(0.3).log_prob(4).double().exp().numpy()
    whole = stats.geom(0.7, loc=-1).pmf(np.arange(5))  # 0.7 to stop, counted from 0
    assert found == pytest.approx(whole / whole.sum(), rel=1e-5)


def test_annealing_runs_from_start_to_end_in_the_logarithm():
    prior = CountPrior(0.01, start=100.0, anneal=0.4)
    values = [prior.log_success(progress) for progress in (0.0, 0.1, 0.2, 0.4, 0.7, 1.0)]
    step = math.log(100.0)
    assert values == pytest.approx([step, 0.5 * step, 0.0, -step, -step, -step], abs=1e-12)
    assert prior.log_success() == pytest.approx(math.log(0.01))
    assert CountPrior(0.01, start=5.0).log_success(0.0) == pytest.approx(math.log(0.01)), "no annealing"


@pytest.mark.parametrize("values", [{"success": 0.0}, {"success": math.inf}, {"start": -1.0}, {"anneal": 1.5}])
def test_bad_values_are_refused(values):
    with pytest.raises(InputError, match=f"{next(iter(values))} is"):
        CountPrior(**values)
