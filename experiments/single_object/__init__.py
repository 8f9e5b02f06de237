"""The single-object experiment (Figure 6, left, of the paper): every gradient estimator, and AIR's rivals."""
