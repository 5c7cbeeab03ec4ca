"""The replication study: what `dvc repro` runs."""
