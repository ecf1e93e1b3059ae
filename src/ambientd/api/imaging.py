"""Modules' own images as a node's owner uses them: say what one is, and see who says so."""

from collections.abc import Sequence

import trio
from msgspec.structs import replace

from ambientd.api.accounts import hint_on_means
from ambientd.api.deciding import NOT_IN_TIME, fault_of, outcome_of
from ambientd.api.image_values import ImageInfo, ImageWord, NameImage, ShowImage
from ambientd.api.operations import OperationError
from ambientd.api.views import name_of
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_image_claim
from ambientd.consensus.messages import EpochEnd
from ambientd.ledger.entries import Table
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.image_events import ImageNamed
from ambientd.ledger.images import claim, image_row
from ambientd.ledger.proof_entries import ImageAuthor, ImageEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import IMAGES_VERSION
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.image import IMAGE_FEE_MSAT, NO_IMAGE, ImageClaim, ImageFile
from ambientd.model.record import ImageClaimed
from ambientd.rules.file_checks import EPOCHS_MAX
from ambientd.rules.images import FILE_BYTES_MAX, FILE_VERSION, TRANSLATION
from ambientd.rules.verdicts import vouching
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts

_BEGIN_VERSION = (
    "members begin it with `says_next_version = true` in [log] of their config.toml; "
    "`ambientctl member list` shows how far that is"
)


async def image_info(parts: Parts, module: Digest, fee_msat: int = 0) -> ImageInfo:
    """Tell what is known of a module's image."""
    state = parts.node.ledger
    row = image_row(state, module)
    claims = () if row is None else row.claims
    decided_ms, epoch = None, None
    if row is not None and row.is_decided:
        decided_ms = row.decided_ms
        epoch = epoch_at(await parts.pump.writer.call(ends_of), decided_ms)
    return ImageInfo(
        module_sha256=module.hex(),
        translation=TRANSLATION.hex(),
        image=row.image.hex() if row is not None and row.is_decided else "",
        needed=vouching(len(state.members)),
        words=tuple(
            ImageWord(
                node=each.author.hex(),
                name=name_of(state, each.author),
                image=each.image.hex(),
                is_member=each.author in state.members,
                denied=_is_denied(state, each.author),
            )
            for each in claims
        ),
        fee_msat=fee_msat,
        decided_ms=decided_ms,
        decided_epoch=epoch,
    )


def epoch_at(ends: Sequence[EpochEnd], time_ms: int) -> int:
    """Give the epoch of a block by its time; of one with a stop's own time the one that it ends."""
    return FIRST_EPOCH + sum(end.links[0][0].time_ms < time_ms for end in ends)


def _is_denied(state: LedgerState, node: NodeId) -> bool:
    found = state.get((Table.IMAGE_AUTHOR, node))
    return isinstance(found, ImageAuthor) and bool(found.denied)


class Imaging:
    """Answers what concerns modules' own images."""

    def __init__(self, signer: Signer, parts: Parts) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._parts = parts
        self._state = parts.node.ledger
        self._speaking = trio.Lock()  # each is judged by what the one before has left

    async def show(self, request: ShowImage) -> ImageInfo:
        """Tell what a module's own image is, and who says so."""
        module = Digest(bytes.fromhex(request.module_sha256))
        info = await image_info(self._parts, module)
        if not request.with_file:
            return info
        row = image_row(self._state, module)
        if row is None or not row.is_decided:
            count = 0 if row is None else len(row.claims)
            spoke = "1 node spoke" if count == 1 else f"{count or 'no'} nodes spoke"
            msg = f"{info.needed} members must say the same of this module, and {spoke}"
            hint = "members say what they find: `ambientctl image name`"
            raise OperationError("not_ready", msg, hint)
        return replace(info, file=encode(await self._file(row)))

    async def name(self, request: NameImage) -> ImageInfo:
        """Bring this node's word into the log, and wait until the ledger has it."""
        module, image = (bytes.fromhex(each) for each in (request.module_sha256, request.image))
        said = sign_image_claim(self._signer, Digest(module), TRANSLATION, Digest(image))
        async with self._speaking:
            row = image_row(self._state, said.module)
            if row is not None and (said in row.claims or self._is_needless(row, said)):
                return await image_info(self._parts, said.module)
            await self._say(ImageClaimed(claim=said))
        fee_msat = IMAGE_FEE_MSAT if row is None else 0
        return await image_info(self._parts, said.module, fee_msat)

    def _is_needless(self, row: ImageEntry, said: ImageClaim) -> bool:
        """Tell whether a row says this already, and needs no word of who is no member."""
        return row.image == said.image != NO_IMAGE and self._id not in self._state.members

    async def _say(self, body: ImageClaimed) -> None:
        said = body.claim
        about = ImageNamed(said.module, said.translation, said.image, said.author)
        event: object = None
        fault = fault_of(self._parts, self._id, body, claim)
        if fault is None:
            event = await outcome_of(self._parts, self._id, body, lambda each: each == about)
            fault = event.reason if isinstance(event, RecordRejected) else None
        if fault is not None:
            is_short = self._state.balance_msat(self._id) < IMAGE_FEE_MSAT
            hint = hint_on_means(self._state, self._id) if is_short else ""
            hint = _BEGIN_VERSION if self._state.version < IMAGES_VERSION else hint
            raise OperationError("rejected", f"it was refused: {fault}", hint)
        if event is None:
            hint = "is a quorum of its members up? see `ambientctl nodes`; asking again is safe"
            raise OperationError("unavailable", NOT_IN_TIME, hint)

    async def _file(self, row: ImageEntry) -> ImageFile:
        """Give the words, and the proofs that lead to the last committee of which enough agree.

        The last, so that a stranger who knows a recent epoch finds it on the way; an earlier one
        where proofs of so many epochs are more than a file may have.
        """
        ends = tuple(map(encode, await self._parts.pump.writer.call(ends_of)))
        file = ImageFile(FILE_VERSION, self._state.genesis, (), ())
        agreed = {each.author for each in row.claims if each.image == row.image}
        for count in reversed(range(min(len(ends), EPOCHS_MAX) + 1)):
            known = self._state.epoch_entry(FIRST_EPOCH + count)
            seats = set() if known is None else set(known.epoch.members)
            if seats and len(agreed & seats) >= vouching(len(seats)):
                words = tuple(each for each in row.claims if each.author in seats)
                longer = replace(file, epochs=ends[:count], claims=words)
                if sum(map(len, ends[:count])) < FILE_BYTES_MAX >= len(encode(longer)):
                    return longer
        msg = "no committee that this node can prove in one file has enough who say so"
        raise OperationError(
            "not_ready", msg, "members say what they find: `ambientctl image name`"
        )
