"""The TUF repository over HTTP."""
