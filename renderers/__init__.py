"""What turns a batch of scenes into pixels: one protocol, one file a backend, and the choice between them."""
