"""The part of the report about the second paper, E-AdaPrune."""
