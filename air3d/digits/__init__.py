"""The 2D track: AIR, DAIR, DRAW and a convolutional autoencoder on images of several digits."""
