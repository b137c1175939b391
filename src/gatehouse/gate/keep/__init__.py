"""Keeping the repository: cleaning up, proving, archiving, and rebuilding what was lost.

Nothing here publishes, and nothing here waits for a publication or makes one wait. What clients may still ask for
is read from the store itself and proved from the root before anything is deleted, kept or believed.
"""
