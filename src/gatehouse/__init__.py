"""Gatehouse: the security gate of a Python package index."""

__version__ = "0.1.0.dev0"
