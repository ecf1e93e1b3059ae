"""What a person hears whose command waits for an answer that should be there."""

from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.looking_operations import STATUS
from ambientd.api.replies import TroubleKind
from ambientd.api.requests import GetStatus
from ambientd.errors import AmbientError

_LOOK_S = 2.0
_HOLDS_UP = frozenset({TroubleKind.NO_QUORUM, TroubleKind.LOG_STANDS, TroubleKind.CONVICTED})


def late_text(path: Path) -> str:
    """Ask the daemon how it is, over a connection of its own, and say what is waited for."""
    try:
        with Client(path) as client:
            status = client.call(STATUS, GetStatus(), _LOOK_S)
    except AmbientError:
        return "still waiting: the daemon does not even say how it is; it is very busy, or stuck"
    for trouble in status.troubles:
        if trouble.kind in _HOLDS_UP:
            return f"still waiting: {trouble.text}; {trouble.hint}"
    return "still waiting for the daemon's answer; it knows of nothing that holds the log up"
