"""`python -m posterkit`: the command line."""

import sys

if __name__ == "__main__":
    try:
        from posterkit.cli.main import main
    except KeyboardInterrupt:
        print("posterkit: stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(main())
