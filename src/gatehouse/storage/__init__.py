"""Adapters: what the wings and the gate ask for, kept in databases, folders and key stores."""
