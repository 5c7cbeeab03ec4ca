"""One module per table: which cells, which comparisons. ``python -m vtprune.experiments.table1`` runs one."""
