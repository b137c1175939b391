"""The parts of an import of targets: its rows, how they are read, and how they are sorted by bin."""
