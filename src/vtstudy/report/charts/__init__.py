"""The charts of the report, one file a kind."""
