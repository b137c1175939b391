"""Running the checks over labelled archives, without an index: what `gatehouse checks replay` does."""
