"""Run a program in the network namespace of an open descriptor: enter.py DESCRIPTOR PROGRAM …

It ends when the thread that started it does, so nothing is left behind.
"""

import ctypes
import os
import signal
import sys

NEW_NET = 0x40000000
_DIE_WITH_PARENT = 1

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(int(sys.argv[1]), NEW_NET) != 0:
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    libc.prctl(_DIE_WITH_PARENT, int(signal.SIGTERM))
    os.execvp(sys.argv[2], sys.argv[2:])
