"""Who comes into a world of whole nodes: with an invitation, or without."""

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, grant_payload, join_payload, sign_record
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis, NodeKind, Profile
from ambientd.model.record import Join, Record
from ambientd.node.event import RecordOffered
from sim.choices import REFUSED_BY_GUESTS
from sim.stage import Stage
from sim.vices import Resident
from sim.world import EPOCH_MS


def seed_of(name: str, number: int) -> bytes:
    """Give the seed of a node's key."""
    return tagged("sim/node-key/1", name.encode(), bytes([number]))


def join_record(genesis: Genesis, inviter_seed: bytes, seed: bytes, number: int) -> Record:
    """Give the signed record by which an invited node joins."""
    cluster = fingerprint(genesis)
    inviter, newcomer = Signer(inviter_seed, cluster), Signer(seed, cluster)
    invite = Signer(seed_of("invite", number), cluster)
    expires_ms = EPOCH_MS + 3_600_000
    draft = Join(
        node=NodeId(newcomer.public_key),
        profile=Profile(
            name=f"joiner-{number}",
            region="sim",
            kind=NodeKind.EDGE,
            refuses=(REFUSED_BY_GUESTS,),
        ),
        inviter=NodeId(inviter.public_key),
        invite_key=invite.public_key,
        expires_ms=expires_ms,
        grant_signature=inviter.sign("invite", grant_payload(invite.public_key, expires_ms)),
        invite_signature=b"",
    )
    signature = invite.sign("join", join_payload(draft))
    fields = {name: getattr(draft, name) for name in draft.__struct_fields__}
    return sign_record(newcomer, Join(**(fields | {"invite_signature": signature})))


def offer(world: Stage, host: Resident, record: Record) -> None:
    """Let a stranger bring a record to a node."""
    world.act(host.key, lambda now: host.feed([RecordOffered(record)], now))
