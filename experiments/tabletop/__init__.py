"""The tabletop experiments (section 4, Figures 6 right and 7 of the paper): a part a file, results as JSON, a page."""
