"""Trains models: the loop, its configurations, checkpoints, logs."""
