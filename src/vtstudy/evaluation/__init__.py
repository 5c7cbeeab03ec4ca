"""Evaluation with lmms-eval's own tasks and metrics: plugin, prediction store, statistics.

Importing this package imports none of its modules: ``run.Evaluator`` has to set the environment
before lmms-eval is imported.
"""
