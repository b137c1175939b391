"""The loops that work beside the web: the outbox and the publisher."""
