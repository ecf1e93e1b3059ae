"""Ending the embedded chain of a folder, which otherwise rests a while after its last caller."""

import fcntl
import time
from pathlib import Path

from ambientd.adapters.regtest.files import LOCK_FILE
from ambientd.adapters.regtest.launcher import EmbeddedChain
from ambientd.errors import AmbientError

_PAUSE_S = 0.05


def stop_embedded_chain(folder: Path, deadline_s: float = 10.0) -> bool:
    """Ask the chain's process to end and wait for it; tell whether none runs any more."""
    end_s = time.monotonic() + deadline_s
    while _is_held(folder / LOCK_FILE):
        if time.monotonic() > end_s:
            return False
        _ask_to_stop(folder)
        time.sleep(_PAUSE_S)
    return True


def _ask_to_stop(folder: Path) -> None:
    from ambientd.adapters.rpc_client import RpcClient, RpcError

    endpoint = EmbeddedChain(folder).running()
    if endpoint is None:
        return
    try:
        with RpcClient(endpoint) as client:
            client.call("stop")
    except (AmbientError, RpcError, OSError):
        return  # it is just ending; its lock tells when it has


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
