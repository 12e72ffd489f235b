"""`python -m omeconf` is the command line."""

from omeconf.cli import main

main(prog_name="omeconf")
