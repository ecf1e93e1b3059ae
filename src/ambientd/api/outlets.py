"""What a desk does beside answering: it keeps what happened, and tells of it where wanted."""

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from ambientd.api.desk import Desk, Owner
from ambientd.errors import ConfigError
from ambientd.model.base import NodeId
from ambientd.runtime.service import Parts

log = structlog.get_logger("ambientd.outlets")

AGAIN_S = 60.0


async def run_outlets(desk: Desk, owner: Owner, parts: Parts) -> None:
    """Follow the news until cancelled; raise ConfigError for what cannot be told anywhere."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.keep_chronicle)
        nursery.start_soon(desk.blaming.keep_certificates)
        nursery.start_soon(kept_up, "backups", desk.backups.keep)
        nursery.start_soon(kept_up, "looks", desk.doctoring.run)
        nursery.start_soon(kept_up, "webhooks", partial(desk.webhooks.run, desk.status))
        options = owner.config.traces
        if options.url:
            from ambientd.api.traces import Traces  # its price is for those who use it

            traces = Traces(options, NodeId(owner.signer.public_key), owner.name, parts)
            desk.submitting.on_submitted = traces.submitted
            nursery.start_soon(kept_up, "traces", traces.run)


async def kept_up(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run what tells of this node, again after a fault of its own: no fault there ends a node."""
    while True:
        try:
            await run()
        except ConfigError:
            raise
        except Exception:  # supervision: whoever watches must not stop what is watched
            log.exception("an outlet failed", outlet=what, again_s=AGAIN_S)
        else:
            return
        await trio.sleep(AGAIN_S)
