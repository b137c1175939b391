"""The stories that join the wings, one file each, readable from top to bottom."""
