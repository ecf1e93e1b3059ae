"""Answers the owner: the local socket, REST where it is switched on, and what tells unasked.

Imported by name once it is needed (see `front_door`).
"""

import socket
from functools import partial

import structlog
import trio
from msgspec.structs import replace

from ambientd.adapters.engines import installed
from ambientd.adapters.keys import draw_secret
from ambientd.adapters.line_file import LineFile
from ambientd.adapters.trail_files import TrailFiles
from ambientd.api.desk import Desk, Owner
from ambientd.api.handlers import build_handlers
from ambientd.api.local_socket import SocketLimits, serve_listening
from ambientd.api.once import Once, done_once
from ambientd.api.outlets import run_outlets
from ambientd.api.trail_keeping import TrailKeeper, trailed
from ambientd.daemon.front_door import Front, TaskStatus
from ambientd.daemon.open_files import HTTP_PART, LOCAL_PART, callers_max
from ambientd.model.base import NodeId
from ambientd.node.build import beacon_tip, signer_of
from ambientd.ports.worker_protocol import Protection

log = structlog.get_logger("ambientd")


async def answer(front: Front, listening: socket.socket, task_status: TaskStatus) -> None:
    """Answer until cancelled; `task_status` is told once everything does that is switched on."""
    config, parts, places = front.identity.config, front.parts, front.identity.places
    owner = _owner(front)
    desk = Desk(owner, parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_outlets, desk, owner, parts)
        keeper = TrailKeeper(TrailFiles(places.trail), parts.now)
        nursery.start_soon(keeper.run)
        own, ledger = NodeId(owner.signer.public_key), parts.node.ledger
        lines = LineFile(places.keys_asked)
        once = Once(own, lines, parts.now, lambda: ledger.moves(own).said_ms)
        await nursery.start(once.run, parts.news)
        handlers = done_once(trailed(build_handlers(desk), keeper), once)
        callers = _callers("api", config.api.connections_max, LOCAL_PART, front.nodes_here)
        limits = SocketLimits(connections_max=callers)
        nursery.start_soon(serve_listening, listening, handlers, limits)
        if config.http.enabled:
            from ambientd.api.rest.serving import serve_rest  # its price is for those who use it

            callers = _callers("http", config.http.connections_max, HTTP_PART, front.nodes_here)
            options = replace(config.http, connections_max=callers)
            serve = partial(serve_rest, options, places)
            await nursery.start(serve, handlers, front.uploads, keeper, parts.now)
        task_status.started()


def _callers(section: str, asked: int, part: int, nodes_here: int) -> int:
    """Give how many callers are served at the same time, and say where these are fewer."""
    served = callers_max(asked, part, nodes_here)
    if served < asked:
        log.warning(
            "fewer callers are served than the configuration allows: raise the limit on open "
            "files (ulimit -n, LimitNOFILE), or lower connections_max",
            section=section,
            connections_max=asked,
            served=served,
        )
    return served


def _owner(front: Front) -> Owner:
    identity, pool = front.identity, front.pool
    return Owner(
        signer=signer_of(identity.seed, identity.genesis),
        config=identity.config,
        name=identity.config.node.name,
        engine=f"{pool.engine} {pool.engine_version}",
        engines_installed=installed(),
        protections=tuple(sorted(pool.protections)),
        protections_missing=tuple(sorted(set(Protection) - pool.protections)),
        addresses=front.addresses,
        draw_secret=draw_secret,
        beacon_tip=partial(beacon_tip, identity.seed),
        started_ms=front.started_ms,
        data_dir=identity.places.data_dir,
        certificates=identity.places.certificates,
    )
