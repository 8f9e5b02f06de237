"""Defines tabletop scenes: kinds, scenes, batches, the prior, JSON and the compiler to MuJoCo."""
