"""The signing wing: TUF metadata for an index as PEP 458 lays out. Values in, values out; no I/O, no clock."""
