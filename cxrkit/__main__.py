"""`python -m cxrkit`: the command line where the script `cxrkit` is not on the path."""

from .cli import main

main()
