"""What a genesis makes: the founders' epoch, and the entries before the first block."""

from ambientd.codec.statements import fingerprint
from ambientd.ledger.entries import (
    META_KEY,
    Account,
    Entry,
    EpochEntry,
    Key,
    Meta,
    NodeEntry,
    Table,
    epoch_key,
    tip_key,
)
from ambientd.ledger.seat_entries import UsedTip
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.model.record import Epoch


def first_epoch(genesis: Genesis) -> Epoch:
    """Give the epoch of the founders."""
    founders = sorted(genesis.members, key=lambda member: member.node)
    return Epoch(
        number=FIRST_EPOCH,
        members=tuple(founder.node for founder in founders),
        seed=fingerprint(genesis),
        beacon_tips=tuple(founder.beacon_tip for founder in founders),
        state_version=genesis.state_version,
    )


def first_entries(genesis: Genesis) -> dict[Key, Entry]:
    """Give the entries that a genesis makes: the same in every state version so far."""
    items: dict[Key, Entry] = {META_KEY: Meta(time_ms=genesis.created_ms)}
    for member in genesis.members:
        items[Table.ACCOUNT, member.node] = Account(balance_msat=member.grant_msat)
        items[Table.NODE, member.node] = NodeEntry(
            profile=member.profile, is_member=True, bond_msat=member.bond_msat
        )
    first = first_epoch(genesis)
    items[epoch_key(FIRST_EPOCH)] = EpochEntry(epoch=first)
    for tip in first.beacon_tips:
        items[tip_key(tip)] = UsedTip(epoch=FIRST_EPOCH, value=tip, count=0)
    return items
