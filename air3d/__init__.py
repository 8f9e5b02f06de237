"""Attend, Infer, Repeat in 3D: latents, networks, estimators, training, evaluation and the command line."""

__version__ = "0.1.0"
