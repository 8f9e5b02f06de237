"""Gradient estimators, one a file: each turns log-probabilities and rewards into a surrogate loss."""
