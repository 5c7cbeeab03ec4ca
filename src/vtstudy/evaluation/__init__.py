"""Evaluation with lmms-eval's tasks and metrics: answers, their cache, scores, and bootstrap intervals."""
