"""Rotations for hypothesis."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from air3d.scene3d.poses import Quaternion


def rotations() -> st.SearchStrategy[Quaternion]:
    """Unit quaternions up to rounding, of either sign: tilted, upright and half turns among them."""
    parts = st.floats(-1.0, 1.0) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5])
    return st.tuples(parts, parts, parts, parts).filter(lambda q: math.hypot(*q) > 1e-3).map(_unit)


def _unit(q: Quaternion) -> Quaternion:
    norm = math.hypot(*q)
    w, x, y, z = (part / norm for part in q)
    return w, x, y, z
