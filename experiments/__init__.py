"""The paper's experiments, each a function that writes results as it goes and skips what is already there."""
