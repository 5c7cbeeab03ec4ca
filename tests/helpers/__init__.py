"""What several tests share: tiny models, an oracle for attached methods, synthetic results."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository's folder."""
