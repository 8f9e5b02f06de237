"""Multi-digit images: handwritten digits scattered over a dark canvas, with their labels."""
