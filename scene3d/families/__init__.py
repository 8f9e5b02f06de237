"""Families of crockery: a shape in a few numbers, from which meshes and collision bodies are made."""
