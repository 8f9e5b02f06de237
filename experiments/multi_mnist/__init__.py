"""The multi-MNIST experiments (Figures 2 to 5 and 8): learning to count, generalisation, foreign data, codes."""
