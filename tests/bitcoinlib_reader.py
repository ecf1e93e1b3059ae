"""Reads transactions and descriptors with bitcoinlib: a program of its own, started by the tests.

Bitcoinlib opens a database where BCL_DATA_DIR says as soon as it is imported, and takes 54 MB. JSON
comes in, JSON goes out. Nothing of ours is imported here.
"""

import hashlib
import json
import re
import sys
from typing import Any

from bitcoinlib.keys import Address, HDKey
from bitcoinlib.scripts import Script
from bitcoinlib.transactions import Transaction, TransactionError

# Its regtest has no extended keys of its own; Bitcoin Core's are those of testnet.
KEYS_NETWORK = "testnet"


def transaction(asked: dict[str, Any]) -> dict[str, Any]:
    """Parse one, work out what was signed, and verify every signature against it."""
    try:
        read = Transaction.parse_hex(asked["raw"], network="regtest")
        for spent, value_sat in zip(read.inputs, asked["values_sat"], strict=True):
            spent.value = value_sat
        return {
            "txid": read.txid,
            "verified": bool(read.verify()),
            "raw": read.raw_hex(),
            "vsize": read.vsize,
            "spent": [spent.address for spent in read.inputs],
            "digests": [read.signature_hash(place).hex() for place in range(len(read.inputs))],
            "paid": [[paid.value, paid.lock_script.hex()] for paid in read.outputs],
        }
    except (TransactionError, ValueError) as error:
        return {"error": str(error)}


def descriptor(asked: dict[str, Any]) -> list[str]:
    """Derive the first addresses of `wpkh(key)` or `wsh(sortedmulti(q,keys))`, all ranged."""
    text, count = asked["descriptor"], asked["count"]
    keys = [
        (key, path.split("/")[1:-1]) for key, path in re.findall(r"(tpub\w+)((?:/\d+)*/\*)", text)
    ]
    found = []
    for index in range(count):
        children = []
        for key, path in keys:
            child = HDKey(key, network=KEYS_NETWORK, witness_type="segwit")
            for step in [*path, index]:
                child = child.child_public(int(step))
            children.append(child)
        if text.startswith("wpkh("):
            hashed, kind = children[0].hash160, "p2wpkh"
        else:
            threshold = int(re.search(r"sortedmulti\((\d+),", text)[1])
            ordered = sorted(children, key=lambda each: each.public_byte)
            script = Script(keys=ordered, script_types=["multisig"], sigs_required=threshold)
            hashed, kind = hashlib.sha256(script.serialize()).digest(), "p2wsh"
        address = Address(
            hashed_data=hashed, network="regtest", script_type=kind, encoding="bech32"
        )
        found.append(address.address)
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answer = {
        "transactions": [transaction(each) for each in asked["transactions"]],
        "descriptors": [descriptor(each) for each in asked["descriptors"]],
    }
    sys.stdout.write(json.dumps(answer))
