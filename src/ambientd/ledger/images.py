"""Modules' own images: who names one, what members find, and who is not believed any more.

Implements protocols/18 §12.  A node names R ─► members translate the module ─► so many say the same
that one is honest: decided; whoever had named another names none any more. Nothing is decided by
what a node claims of a translation that no member has.

What is decided stays, and counts as long as so many of the present members stand by it: committees
change, and nobody judges by the word of those who left.
"""

from collections import Counter
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from ambientd.codec.statements import verify_image_claim
from ambientd.ledger.draft import Draft, Reader
from ambientd.ledger.entries import NodeEntry, Table, image_key
from ambientd.ledger.image_events import ImageDecided, ImageDenied, ImageNamed
from ambientd.ledger.proof_entries import ImageAuthor, ImageEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import IMAGES_VERSION
from ambientd.model.base import Digest, NodeId
from ambientd.model.image import IMAGE_FEE_MSAT, IMAGES_MAX, NO_IMAGE, ImageClaim
from ambientd.model.record import ImageClaimed, Record
from ambientd.rules.images import CLAIMS_MAX, TRANSLATION
from ambientd.rules.verdicts import vouching

Rejection = str | None


def image_row(state: LedgerState, module: Digest) -> ImageEntry | None:
    """Give what the ledger has of a module's image by this program's translation."""
    found = state.get(image_key(module, TRANSLATION))
    return found if isinstance(found, ImageEntry) else None


def own_image(state: LedgerState, module: Digest) -> Digest | None:
    """Give the image that present members stand by as what a module becomes; None while none do.

    Before state version 2 no row exists, so that proofs by such images are nobody's there.
    """
    row = _decided(state, module)
    return row.image if row is not None and _is_vouched(state.members, state, row) else None


def doubted_image(state: LedgerState, module: Digest) -> Digest | None:
    """Give the image that was decided on, where too few of the present members stand by it.

    Whoever sealed a proof by it may have found it vouched for: nobody is convicted for that.
    """
    row = _decided(state, module)
    return row.image if row is not None and not _is_vouched(state.members, state, row) else None


def _decided(state: LedgerState, module: Digest) -> ImageEntry | None:
    row = image_row(state, module)
    return row if row is not None and row.is_decided else None


def _is_vouched(members: Sequence[NodeId], rows: Reader, row: ImageEntry) -> bool:
    """Tell whether enough of the present members stand by what was decided."""
    agreeing = (each.author for each in row.claims if each.image == row.image)
    count = sum(_counts(members, rows, author) for author in agreeing)
    return count >= vouching(len(members))


def claim(draft: Draft, record: Record, body: ImageClaimed) -> Rejection:
    """Take a node's word on a module's own image; enough members that say the same decide."""
    said = body.claim
    present = draft.state.version
    if present < IMAGES_VERSION:
        return f"the state is of version {present}: images begin with version {IMAGES_VERSION}"
    author = draft.node(record.author)
    if record.author != said.author:
        return "what another node says of an image"
    if author is None or author.tombstoned:
        return "only nodes that were never convicted name images"
    denied = _author(draft, said.author).denied
    if denied:
        return f"members have found another image of {denied.hex()} than the author named"
    if said.image == NO_IMAGE:
        return "the name of no image"
    row = cast("ImageEntry | None", draft.get(image_key(said.module, said.translation)))
    if row is not None and row.is_decided and row.image != said.image:
        return f"members have found {row.image.hex()}"
    return _name(draft, said) if row is None else _find(draft, said, row)


def _name(draft: Draft, said: ImageClaim) -> Rejection:
    """Take the first word on a module, and its price: members are to translate it."""
    author = _author(draft, said.author)
    if author.named >= IMAGES_MAX:
        return f"the author was the first to name {IMAGES_MAX} images, and nobody names more"
    balance = draft.balance_msat(said.author)
    if balance < IMAGE_FEE_MSAT:
        return f"naming an image costs {IMAGE_FEE_MSAT} msat, the author has {balance}"
    if not verify_image_claim(said, draft.state.cluster):
        return "a claim with a wrong signature"
    draft.credit(said.author, -IMAGE_FEE_MSAT)
    draft.move_pool(IMAGE_FEE_MSAT)
    _put_author(draft, said.author, replace(author, named=author.named + 1))
    _put(draft, said, ImageEntry(claims=(said,)))
    return None


def _find(draft: Draft, said: ImageClaim, row: ImageEntry) -> Rejection:
    """Take what a member has found; what those found that are members no more goes.

    What led to a decision stays until the present members stand by it: strangers are shown it.
    """
    members = draft.state.members
    before = next((each for each in row.claims if each.author == said.author), None)
    if before is not None:
        if before.image != said.image:
            return f"the author has said {before.image.hex()} before"
        _decide(draft, said, row)  # a smaller committee may have enough words
        return None
    if said.author not in members and row.is_decided:
        return None
    if said.author not in members:
        return "it is named already: only committee members say what they have found"
    if not verify_image_claim(said, draft.state.cluster):
        return "a claim with a wrong signature"
    row = replace(row, claims=(*row.claims, said))
    is_full = len(row.claims) > CLAIMS_MAX
    if is_full or not row.is_decided or _is_vouched(members, draft, row):
        first, *others = row.claims
        kept = (each for each in others if each.author in members)
        row = replace(row, claims=(first, *kept))
    _put(draft, said, row)
    return None


def _put(draft: Draft, said: ImageClaim, row: ImageEntry) -> None:
    draft.put(image_key(said.module, said.translation), row)
    draft.tell(ImageNamed(said.module, said.translation, said.image, said.author))
    _decide(draft, said, row)


def _decide(draft: Draft, said: ImageClaim, row: ImageEntry) -> None:
    """Decide as soon as one of those who agree is honest: all honest ones find the same."""
    if row.is_decided:
        return
    members = draft.state.members
    counted = Counter(each.image for each in row.claims if _counts(members, draft, each.author))
    needed = vouching(len(members))
    image = next((each for each, times in counted.items() if times >= needed), None)
    if image is None:
        return
    row = replace(row, image=image, decided_ms=draft.context.time_ms)
    draft.put(image_key(said.module, said.translation), row)
    draft.tell(ImageDecided(said.module, said.translation, image))
    for each in row.claims:
        if each.image != image:
            author = _author(draft, each.author)
            _put_author(draft, each.author, replace(author, denied=said.module))
            draft.tell(ImageDenied(said.module, each.image, each.author))


def _counts(members: Sequence[NodeId], rows: Reader, author: NodeId) -> bool:
    """Tell whether an author is a present member whose word on images is believed."""
    node = cast("NodeEntry | None", rows.get((Table.NODE, author)))
    is_member = author in members and node is not None and not node.tombstoned
    return is_member and not _author(rows, author).denied


def _author(rows: Reader, node: NodeId) -> ImageAuthor:
    return cast("ImageAuthor", rows.get((Table.IMAGE_AUTHOR, node)) or ImageAuthor())


def _put_author(draft: Draft, node: NodeId, author: ImageAuthor) -> None:
    draft.put((Table.IMAGE_AUTHOR, node), author)
