"""Bugs of the museum that only daemons have, each put in again (see `sim.museum.bugs`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ambientd.model.base import Digest
from ambientd.runtime.blobs import Blobs
from sim.mutants.patch import Patch


def _claims_late(_: object) -> object:
    """Let two who look for a blob at once both see that nobody fetches it."""

    @asynccontextmanager
    async def claimed(blobs: Blobs, digest: Digest) -> AsyncIterator[None]:
        fetching = blobs._fetching  # a bug is put in from outside
        while (waiting := fetching.get(digest)) is not None:
            await waiting.wait()
        await trio.lowlevel.checkpoint()  # a look at the disk, which was in a thread then
        done = fetching[digest] = trio.Event()
        try:
            yield
        finally:
            del fetching[digest]
            done.set()

    return claimed


CLAIMS_LATE = (Patch(Blobs, "_claimed", _claims_late),)
