"""`python -m posterkit`: the command line."""

import sys

from posterkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
