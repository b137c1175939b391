"""Adapters that tell caches of changes, a kind of cache each."""
