"""Whether what a configuration allows at the same time fits what the process may have open."""

import resource
from typing import Final

import structlog

from ambientd.adapters.libp2p.host import HANDSHAKES_MAX
from ambientd.config.options import Config
from ambientd.daemon.open_files import HTTP_PART, LOCAL_PART, callers_max
from ambientd.ports.store import OPEN_FILES_MAX

log = structlog.get_logger("ambientd")

CONNECTIONS_A_PEER: Final = 2
"""A node takes twice as many connections as it may have peers: two may dial at the same time."""

FILES_A_CALLER: Final = 2
FILES_A_WORKER: Final = 2
"""A caller has its connection and a file that is read or written for it, a worker two pipes."""

FILES_A_NODE: Final = HANDSHAKES_MAX + OPEN_FILES_MAX
"""Strangers' handshakes, 256, and its store's files: 64 of RocksDB's tables; of SQLite's fewer."""


def warn_of_files(config: Config, nodes: int) -> None:
    """Say at the start what would else show on a busy day, as peers that are let go."""
    if (short := files_short(config, nodes)) > 0:
        log.warning(
            "peers, callers and workers may come to need more files than this process may open: "
            "raise the limit on open files (ulimit -n, LimitNOFILE), or lower limits.peers_max",
            peers_max=config.limits.peers_max,
            short=short,
        )


def files_short(config: Config, nodes: int) -> int:
    """Give how many files so many such nodes in one process lack at their busiest; 0: none.

    The logs of the store and the daemon come on top.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    callers = callers_max(config.api.connections_max, LOCAL_PART, nodes)
    if config.http.enabled:
        callers += callers_max(config.http.connections_max, HTTP_PART, nodes)
    peers, workers = config.limits.peers_max, config.execution.workers
    wanted = CONNECTIONS_A_PEER * peers + FILES_A_CALLER * callers + FILES_A_WORKER * workers
    return max(0, nodes * (wanted + FILES_A_NODE) - soft)
