"""Turns a batch of scenes into pixels: one protocol, one file for each backend, and the choice between them."""
