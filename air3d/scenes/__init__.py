"""The 3D track: the guide, the likelihood through a black-box renderer, schedules and the objective."""
