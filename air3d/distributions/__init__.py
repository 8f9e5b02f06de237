"""Distributions of the latents, sampled with explicit generators."""
