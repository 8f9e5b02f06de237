"""Gradient estimators: log-probabilities and rewards in, a surrogate loss out."""
