"""The test vectors of protocols/21-discovery.md: a mesh's service, a statement, two messages."""

from typing import Any

from ambientd.adapters.libp2p.statements import seal_of
from ambientd.adapters.mdns.messages import encode_answer, encode_question
from ambientd.adapters.mdns.talk import MARK, service_of
from ambientd.ports.transport import HostPort

CLUSTER = bytes(range(32))
SEED = bytes([7]) * 32
NUMBER = 1_800_000_000_000_000_000
ADDRESSES = (HostPort("192.0.2.7", 4400), HostPort("2001:db8::7", 4401))
INSTANCE = "0123456789abcdef" * 2


def discovery() -> dict[str, Any]:
    """Give them, from fixed seeds."""
    seal, service = seal_of(SEED, lambda: NUMBER), service_of(CLUSTER)
    statement = seal.sign(ADDRESSES)
    node = seal.whose(statement)
    assert node is not None
    return {
        "document": "protocols/21-discovery.md",
        "cluster": CLUSTER.hex(),
        "service": service,
        "seed": SEED.hex(),
        "node": node.hex(),
        "number": str(NUMBER),
        "addresses": [str(each) for each in ADDRESSES],
        "statement": statement.hex(),
        "instance": INSTANCE,
        "question": encode_question(service).hex(),
        "answer": encode_answer(service, INSTANCE, MARK + statement).hex(),
    }
