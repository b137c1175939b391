"""Measurements of what the checks find; records of replays stand beside them."""
