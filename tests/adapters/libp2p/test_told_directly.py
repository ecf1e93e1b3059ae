"""Who is named with a publication gets it from its author, whoever else has subscribed."""

from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11

from ambientd.adapters.libp2p.gossip import Gossip
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import build_host
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.ports.transport import TransportOptions
from tests.ports.transport_contract import NODES, SEEDS, TOPIC

PEERS = [peer_id_of(node) for node in NODES[1:]]
STRANGERS = [peer_id_of(number.to_bytes(32, "big")) for number in range(40)]


@cache
def publisher() -> Any:
    """Gossip of the first node, which does not listen."""
    counters = Counters()
    options = TransportOptions(topics=frozenset({TOPIC}))
    host = build_host(options, SEEDS[0], counters)
    return Gossip(host, options, counters, lambda _: True, ignore, ignore).pubsub


def ignore(*_: object) -> None: ...


@given(
    directly=st.frozensets(st.sampled_from(PEERS)),
    subscribed=st.frozensets(st.sampled_from(PEERS)),
    is_own=st.booleans(),
)
def test_what_is_our_own_goes_to_all_who_are_named_and_subscribe_and_to_few_others(
    *, directly: frozenset[Any], subscribed: frozenset[Any], is_own: bool
) -> None:
    pubsub = publisher()
    router = pubsub.router
    pubsub.peer_topics = {TOPIC: {*subscribed, *STRANGERS}}
    router.peer_protocol = dict.fromkeys((*PEERS, *STRANGERS), PROTOCOL_ID_V11)
    router.fanout, router.directly = {TOPIC: set(STRANGERS[:6])}, directly
    origin = pubsub.my_id if is_own else PEERS[0]
    chosen = set(router._get_peers_to_send([TOPIC], origin, origin))
    assert chosen == {*STRANGERS[:6], *(directly & subscribed if is_own else ())}
