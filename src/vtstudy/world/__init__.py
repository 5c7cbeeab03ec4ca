"""The miniature: a rendered world, the twelve data sets made from it, and the training of its checkpoints."""
