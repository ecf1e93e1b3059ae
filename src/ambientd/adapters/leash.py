"""A process that ends with the one that started it, also when that one is killed."""

import os
import signal
import threading
from contextlib import suppress

STANDARD_INPUT = 0
_PIECE_BYTES = 4_096


def end_with_standard_input() -> None:
    """Take the end of standard input, of which somebody else holds the other side, for SIGTERM."""
    threading.Thread(target=_wait, name="leash", daemon=True).start()


def _wait() -> None:
    with suppress(OSError):
        while os.read(STANDARD_INPUT, _PIECE_BYTES):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
