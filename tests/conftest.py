"""Shared by all tests: one budget for every statistical test, and hypothesis made repeatable."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import air3d  # noqa: F401  before torch, so that its threads wait quietly
from air3d.scene3d.own_kinds import adopt

# The same examples in every run, and no database of failures in the checkout.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile("repeatable")

# Every statistical assertion fails with probability ALPHA when the code is right. At most BUDGET / ALPHA of them
# may be made in one run, which bounds the false-failure rate of the whole suite by 1e-4 (Boole's inequality).
# Seeds are fixed besides, so that a run repeats: the rate is over the choice of seeds.
ALPHA = 5e-7
BUDGET = 1e-4

# Kinds made from meshes, kept in the repository as a dataset would carry them: a pyramid with a sheet above it; in
# `open`, a textured bowl without thickness, and three leaves that share an edge.
OWN_FOLDER = Path(__file__).resolve().parent / "own"

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# What runs under nohup has SIGHUP ignored, and commands leave it so.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

Fits = Callable[[float, str], None]


@pytest.fixture(scope="session")
def fits() -> Fits:
    """`fits(p_value, what)`: assert that a p-value is above ALPHA, and count it against the suite's budget."""
    spent = 0.0

    def check(p_value: float, what: str) -> None:
        nonlocal spent
        spent += ALPHA
        assert spent <= BUDGET, f"more than {BUDGET / ALPHA:.0f} statistical assertions in one run; lower ALPHA"
        assert p_value > ALPHA, f"{what}: p = {p_value:.3g}, below {ALPHA:g}"

    return check


@pytest.fixture(scope="session", autouse=True)
def own_objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of own kinds that is the tests' alone; it holds the one in the repository."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("own-objects")
        patch.setenv("AIR3D_OBJECTS", str(cache))
        adopt(OWN_FOLDER)
        adopt(OWN_FOLDER / "open")
        yield cache
