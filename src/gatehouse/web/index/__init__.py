"""The index: upload, simple pages, files."""
