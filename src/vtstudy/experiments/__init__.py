"""One module per table: which cells, which comparisons. ``python -m vtstudy.experiments.table1`` runs one."""
