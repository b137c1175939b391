"""Signers by URI: files, and whatever securesystemslib speaks to."""
