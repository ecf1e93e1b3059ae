"""Blobs over HTTP: brought in pieces under the name that their bytes have, taken away by it."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from ambientd.api.berths import Berths
from ambientd.api.blob_values import BlobKept, BlobReply, GetBlob, PutBlob
from ambientd.api.operations import BLOB_PUT, OperationError
from ambientd.api.trail_keeping import TrailKeeper
from ambientd.model.base import Digest
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.uploads import Served, Uploads

VALUE_BYTES_MAX = 8 * 1024 * 1024


async def named_or_given(blobs: Blobs, what: str, given: bytes, sha256: str | None) -> bytes:
    """Give bytes that came with a request, or those of a blob that it names."""
    if sha256 is None:
        return given
    if given:
        msg = f"the {what} is given and named by its SHA-256 as well"
        raise OperationError("invalid", msg, "leave one of them away")
    data = await blobs.get(bytes.fromhex(sha256))
    if data is None:
        msg = f"the {what} {sha256[:12]} is not on this node"
        raise OperationError("not_found", msg, "bring it first: PUT /api/v1/blobs/SHA256")
    return data


class Shelf:
    """Answers the two operations about blobs."""

    def __init__(self, uploads: Uploads, at_once_max: int, keeper: TrailKeeper) -> None:
        self._uploads = uploads
        self._berths = Berths(at_once_max)
        self._keeper = keeper

    async def put(self, request: PutBlob, pieces: AsyncIterator[bytes]) -> BlobKept:
        """Keep a blob whose bytes have the name that the caller gives them."""
        name = Digest(bytes.fromhex(request.sha256))
        with self._keeper.keeps(BLOB_PUT.name, request):
            async with self._berths.take(0) as berth, aclosing(berth.counted(pieces)) as counted:
                size_bytes = await self._uploads.take(name, counted)
        return BlobKept(sha256=request.sha256, size_bytes=size_bytes)

    async def open(self, request: GetBlob) -> Served:
        """Give a blob that is read as it is sent."""
        served = await self._uploads.open(Digest(bytes.fromhex(request.sha256)))
        if served is None:
            raise OperationError("not_found", f"no blob {request.sha256[:12]} is here")
        return served

    async def get(self, request: GetBlob) -> BlobReply:
        """Give a blob's bytes in one value."""
        served = await self.open(request)
        if served.size_bytes > VALUE_BYTES_MAX:
            msg = f"the blob has {served.size_bytes} bytes, JSON holds at most {VALUE_BYTES_MAX}"
            hint = "ask with `Accept: application/octet-stream`, which is sent as it is read"
            raise OperationError("too_large", msg, hint)
        data = await self._uploads.give(Digest(bytes.fromhex(request.sha256)))
        if data is None:
            raise OperationError("not_found", f"no blob {request.sha256[:12]} is here")
        return BlobReply(sha256=request.sha256, data=data)
