"""Training of the miniature checkpoints."""
