"""Entry of the `evobit` program and of `python -m evobit`."""

import sys

from evobit.main import run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
