"""Runs the screening in children that have no network and little of anything else."""
