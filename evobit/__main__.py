"""Entry of the `evobit` program and of `python -m evobit`."""

import signal
import sys
import warnings
from types import FrameType

from evobit.main import run


def main() -> None:
    """Run the command line and exit with its code; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Pillow tells of damage that it reads past; an image that it cannot read is refused by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    sys.exit(run(sys.argv[1:]))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
