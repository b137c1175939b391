"""Bytes by digest, and metadata files by name."""
