"""Translating one file by many processes, on one machine or a cluster."""
