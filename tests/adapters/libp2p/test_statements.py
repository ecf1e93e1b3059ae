"""Signed statements of addresses: only the signer's, whole and unchanged, count."""

from hypothesis import given
from hypothesis import strategies as st
from libp2p.peer.envelope import seal_record
from libp2p.peer.peer_record import PeerRecord
from multiaddr import Multiaddr

from ambientd.adapters.libp2p.identity import key_pair, peer_id_of
from ambientd.adapters.libp2p.statements import seal_of, verify, whose
from ambientd.ports.discovery import ADDRESSES_MAX, STATEMENT_BYTES_MAX
from ambientd.ports.transport import HostPort
from tests.ports.transport_contract import NODES, SEEDS

V4, V6 = HostPort("192.0.2.7", 4400), HostPort("2001:db8::7", 4401)


def foreign(*addresses: str, about: int = 0) -> bytes:
    """A record as any other program of libp2p may write it."""
    record = PeerRecord(peer_id_of(NODES[about]), [Multiaddr(each) for each in addresses], 7)
    return bytes(seal_record(record, key_pair(SEEDS[0]).private_key).marshal_envelope())


def test_a_statement_says_where_its_signer_is() -> None:
    statement = seal_of(SEEDS[0]).sign((V4, V6))
    assert whose(statement) == NODES[0]
    where = verify(statement)
    assert where is not None
    assert (where.node_id, where.addresses) == (NODES[0], (V4, V6))


def test_a_later_statement_has_the_higher_number() -> None:
    seal = seal_of(SEEDS[0])
    first, second = verify(seal.sign((V4,))), verify(seal.sign((V4,)))
    assert first is not None
    assert second is not None
    assert first.number < second.number


def test_of_many_addresses_as_many_are_told_as_fit() -> None:
    for many in ((V4,) * 9, (V6,) * 9):
        statement = seal_of(SEEDS[0]).sign(many)
        where = verify(statement)
        assert where is not None
        assert 2 <= len(where.addresses) <= ADDRESSES_MAX
        assert len(statement) <= STATEMENT_BYTES_MAX


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_a_statement_can_be_changed(place: int, change: int) -> None:
    statement = bytearray(seal_of(SEEDS[0]).sign((V4, V6)))
    statement[place % len(statement)] ^= change
    assert verify(bytes(statement)) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert verify(data) is None


def test_nobody_speaks_for_another() -> None:
    assert verify(foreign("/ip4/192.0.2.7/tcp/4400", about=1)) is None


def test_addresses_that_no_node_can_be_dialled_at_are_left_out() -> None:
    where = verify(
        foreign(
            "/ip4/0.0.0.0/tcp/4400",
            "/ip4/224.0.0.251/tcp/5353",
            "/ip4/192.0.2.7/tcp/0",
            "/ip4/192.0.2.7/udp/4400",
            "/dns4/example.org/tcp/4400",
            "/ip4/192.0.2.7/tcp/4400",
        )
    )
    assert where is not None
    assert where.addresses == (V4,)
