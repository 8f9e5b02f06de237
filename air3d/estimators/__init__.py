"""Gradient estimators: log-probabilities and rewards in, a surrogate loss out.

One file each, named after it; `counts` (the exact expectation over the number of objects) combines with the others'
rewards and is not chosen by name.
"""

NAMES = ("lr", "lr-nvil", "vimco", "rws", "mixture", "fd", "slotwise")
