"""What the vectors of protocols/14-peg.md hold: addresses, a payment, and the blocks around it."""

from collections.abc import Callable
from typing import Any

from ambientd.codec.canonical import encode
from ambientd.model.genesis import Rules
from ambientd.model.record import PegAddress, PegFee, PegMoved, PegReturn
from ambientd.rules.bitcoin import decode_transaction
from ambientd.rules.peg_payments import base_transaction, digests, signed_transaction, size_of, txid
from ambientd.rules.peg_script import address, descriptor, locking_script, witness_script
from tests.ledger.cluster import TestCluster
from tests.ledger.peg import PegCluster
from tests.rules.peg import PAYEE, signed_by

NAMES = ("regtest", "testnet4", "main")


def cluster() -> TestCluster:
    """Give a cluster whose peg is bounded."""
    return PegCluster(rules=Rules(peg_sat_max=250_000))


def document(
    scene: TestCluster, block: Callable[..., None], blocks: list[dict[str, Any]]
) -> dict[str, Any]:
    """Live through a peg-in, peg-outs, and a peg-in that waits, and write them down."""
    assert isinstance(scene, PegCluster)
    genesis_root = scene.state.root.hex()
    block(*(scene.key(number) for number in range(4)))
    block(*((number, PegAddress()) for number in range(4)))
    word = scene.peg_in(1, 200_000)
    block((0, word), (1, word))
    block((2, word), (3, word))
    block((1, scene.out(150_000)), (1, scene.out(500_000)))
    block((1, PegFee(payment=1, fee_sat=900)), (2, PegFee(payment=1, fee_sat=2_000)))
    block(*(scene.signed(member, 1, 1) for member in range(3)))
    payment = scene.payment(1)
    seen = scene.seen(1, 1)
    block(*((member, seen) for member in range(3)))
    block((1, scene.out(20_000)))
    block(*(scene.signed(member, 2) for member in range(3)))
    second = scene.seen(2)
    block(*((member, second) for member in range(3)))
    block((1, scene.out(10_000)))
    first = scene.seen(1, 0)
    moved = PegMoved(payment=1, version=0, turn=0, proof=first.proof)
    block(*((member, moved) for member in range(3)))
    block(*(scene.signed(member, 2) for member in range(3)), (0, moved))
    again = scene.seen(2)
    block(*((member, again) for member in range(3)))
    waits = scene.peg_in(2, 230_000)
    block(*((member, waits) for member in range(3)))
    block(*(scene.signed(member, 3) for member in range(3)), (3, waits))
    third = scene.seen(3)
    block(*((member, third) for member in range(3)))
    block((3, waits))
    assert scene.state.peg.in_sat == 430_000
    small = scene.peg_in(3, 4_000)
    name = decode_transaction(small.proof.raw_tx).txid
    back = PegReturn(txid=name, output=0, script=PAYEE, fee_sat=300, said_ms=scene.next_ms())
    block((0, small), (3, back))
    block(*((member, small) for member in range(3)))
    block(*(scene.signed(member, 4) for member in range(3)))
    returned = scene.seen(4)
    block(*((member, returned) for member in range(3)))
    wallets = scene.state.peg_index.wallets
    signed = signed_transaction(payment, 1, wallets, signed_by([0, 1, 2], payment, 1, wallets))
    assert signed is not None
    return {
        "document": "protocols/14-peg.md",
        "wallet": encode(wallets[1]).hex(),
        "descriptor": descriptor(wallets[1], "regtest"),
        "addresses": [
            {
                "index": index,
                "witness_script": witness_script(wallets[1], index).hex(),
                "script": locking_script(wallets[1], index).hex(),
                "address": {name: address(wallets[1], index, name) for name in NAMES},
            }
            for index in (0, 1, 2, 1_000)
        ],
        "payment": {
            "of": encode(payment).hex(),
            "size": size_of(payment, wallets),
            "versions": [
                {
                    "txid": txid(payment, version)[::-1].hex(),
                    "unsigned": base_transaction(payment, version).hex(),
                    "digests": [each.hex() for each in digests(payment, version, wallets)],
                }
                for version in (0, 1)
            ],
            "signed": signed.hex(),
        },
        "genesis": encode(scene.genesis).hex(),
        "cluster": scene.id.hex(),
        "state_root_of_genesis": genesis_root,
        "blocks": blocks,
    }
