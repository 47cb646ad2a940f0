"""Benchmarks of Polyhead beside its peers; see README.md in this folder."""
