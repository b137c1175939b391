"""What every other room may use: names, digests, the clock, the error tree.

Standard library only, and nothing here opens a file, reads the clock on its own account or keeps state.
"""
