"""How a liar hurries a state version on: false words, and stops that nobody asked for."""

import random

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_record
from ambientd.consensus.messages import (
    Append,
    append_payload,
    block_hash,
    decode_message,
    encode_message,
    records_root,
)
from ambientd.ledger.state import LedgerState
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.record import VersionKnown
from ambientd.node.core import Node
from ambientd.node.frames import LOG_FRAME

SPEAKS_ONE_IN = 20
HASTENS_ONE_IN = 6
STEPS = (0, 1, 1, 1, 2)


def boast(ledger: LedgerState, now: int, dice: random.Random) -> VersionKnown:
    """Say that some version is known, whatever the program is."""
    return VersionKnown(version=ledger.epoch.state_version + dice.choice(STEPS), said_ms=now)


def hasty(frame: bytes, signer: Signer, node: Node | None, dice: random.Random) -> bytes:
    """Put a stop for the next version in the place of a block of the first epoch, now and then."""
    if frame[:1] != LOG_FRAME or node is None or dice.randrange(HASTENS_ONE_IN):
        return frame
    message = decode_message(frame[1:])
    if not isinstance(message, Append) or message.header.proposer != signer.public_key:
        return frame
    present = node.ledger.epoch
    version = present.state_version + 1
    stop = encode(
        sign_record(signer, replace(present, number=present.number + 1, state_version=version))
    )
    header = replace(message.header, records_root=records_root((stop,)))
    signature = signer.sign("append", append_payload(FIRST_EPOCH, block_hash(header)))
    block = Append(header, message.qc, message.tc, (stop,), signature)
    return LOG_FRAME + encode_message(block)
