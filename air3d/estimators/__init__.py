"""Gradient estimators: each turns log-probabilities and rewards into a surrogate loss.

Each has a file named after it; `counts` (the exact expectation over the number of objects) combines with the others'
rewards and is not chosen by name.
"""

NAMES = ("lr", "lr-nvil", "vimco", "rws", "mixture", "fd", "slotwise")
