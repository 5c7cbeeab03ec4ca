"""Verdicts on the paper's printed values, on its claims, and on whether its tables agree with one another."""
