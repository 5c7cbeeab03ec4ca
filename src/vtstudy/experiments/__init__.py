"""What each table and figure of the papers runs. `registry.EXPERIMENTS` has all of them by name."""
