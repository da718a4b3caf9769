"""`python -m ctgi`: the `ctgi` command of this Python."""

from ctgi.cli import main

main()
