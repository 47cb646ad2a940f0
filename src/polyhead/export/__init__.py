"""Runs in other programs' formats; each export is loaded and compared before it counts."""
