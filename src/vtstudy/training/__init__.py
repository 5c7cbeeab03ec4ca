"""Training of the miniatures: small models in the transformers classes of the papers' models."""
