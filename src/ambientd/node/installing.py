"""What a fetched snapshot makes of a node: its entries, and what must change on disk."""

from ambientd.codec.state_pages import decode_page
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.effects import SnapshotFetched
from ambientd.errors import LocalProtocolError, RemoteProtocolError
from ambientd.ledger.entries import Entry, Key, decode_key, tip_key
from ambientd.ledger.seat_entries import UsedTip
from ambientd.ledger.state import LedgerState


def pages_of(fetched: SnapshotFetched) -> dict[bytes, bytes]:
    """Give a snapshot's pages by digest."""
    digests = (digest for _, digest in fetched.snapshot.pages)
    return dict(zip(digests, fetched.pages, strict=True))


def state_of(fetched: SnapshotFetched, before: LedgerState) -> LedgerState:
    """Build the state of a snapshot; raise LocalProtocolError when a quorum certified no state."""
    try:
        snapshot, versions = fetched.snapshot, before.versions
        form = versions.of(snapshot.version)
        items = {
            decode_key(key): form.decode(decode_key(key), value)
            for page in fetched.pages
            for key, value in decode_page(page)[1]
        }
        state = LedgerState(before.genesis, items, snapshot.index, form.number, versions)
    except (RemoteProtocolError, ValueError, KeyError) as error:
        msg = f"the certified state after block {fetched.snapshot.index} is none: {error}"
        raise LocalProtocolError(msg) from error
    if state.root != fetched.snapshot.root:
        msg = f"the pages of the state after block {fetched.snapshot.index} lie in wrong places"
        raise LocalProtocolError(msg)
    return state


def changes(before: LedgerState, after: LedgerState) -> dict[Key, Entry | None]:
    """Give what makes one state of another on disk: all of it where they are encoded otherwise."""
    gone: dict[Key, Entry | None] = dict.fromkeys(before.items().keys() - after.items())
    held = before.items() if before.form is after.form else {}
    return gone | {key: entry for key, entry in after.items().items() if held.get(key) != entry}


def beacons_of(state: LedgerState) -> tuple[BeaconLink, ...]:
    """Give how far each member's beacon chain is revealed."""
    chains = [state.get(tip_key(tip)) for tip in state.epoch.beacon_tips]
    return tuple(
        BeaconLink(chain.value, chain.count) for chain in chains if isinstance(chain, UsedTip)
    )
