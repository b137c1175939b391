"""What the index holds: projects, releases and files, their states, and the simple pages as values.

Values in, values out: nothing here opens a file, a socket or a database.
"""
