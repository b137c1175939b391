"""`python -m gatehouse`."""

from gatehouse.cli import main

main(prog_name="gatehouse")
