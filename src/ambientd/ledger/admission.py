"""Which records members may vote for: canonical, signed, and of bounded shape (protocols/03 §4).

No vote looks at the state: every node gives the same answer at any time. What fails in the ledger
later is applied as a rejected no-op. What a node proposes or passes on is `may_propose`'s to say.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from ambientd.codec.canonical import decode
from ambientd.codec.remembering import Remembered
from ambientd.codec.signing import BATCH_SIGNATURE_BYTES_MAX, verify
from ambientd.codec.statements import grant_payload, verify_record
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import IMAGES_VERSION, KNOWN_VERSION, MARKS_VERSION
from ambientd.model.dispute import POINTS
from ambientd.model.genesis import MEMBERS_MAX
from ambientd.model.learning import PARTICIPANTS_MAX
from ambientd.model.learning_record import FlUpdate
from ambientd.model.mark import Attempts, GoneOn
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import Admit, Body, ImageClaimed, Join, Marked, Record, Settle
from ambientd.rules.header_window import HEADERS_KEPT
from ambientd.rules.receipt_text import PLAIN_CHARS_MAX, plain_fault

RECORD_BYTES_MAX = 512 * 1024
RAW_TX_BYTES_MAX = 100_000
"""What the log takes of a transaction; nodes pass on none that is longer without its witness."""
CACHED_BYTES_MAX = 16 * 1024
DECODED_BYTES_MAX = 2 * 1024 * 1024
"""Of records as they travel, about 10 MiB decoded; each is asked for on arrival, vote and apply."""
NUMBER_MAX = 2**53 - 1
TEXT_CHARS_MAX = 256
LIST_ITEMS_MAX = 64

_KEY = _DIGEST = (32, 32)
_PLAIN_SIGNATURE = (64, 64)

BYTES_BETWEEN: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "author",
                "node",
                "inviter",
                "invite_key",
                "worker",
                "referee",
                "member",
                "members",
                "culprit",
                "to",
                "party",
                "survivors",
                "left_out",
                "faulty",
            ),
            _KEY,
        ),
        **dict.fromkeys(
            (
                "task",
                "txid",
                "spec",
                "module",
                "manifest",
                "prepared",
                "input",
                "output",
                "root",
                "commitment",
                "telemetry",
                "seed",
                "beacon_tip",
                "beacon_tips",
                "state",
                "study",
                "initial",
                "update",
                "digest",
                "after",
                "mask_key",
                "seal_key",
                "self_commitment",
                "data",
                "proof",
                "translation",
                "image",
                "follows",
            ),
            _DIGEST,
        ),
        **dict.fromkeys(("grant_signature", "invite_signature"), _PLAIN_SIGNATURE),
        "signature": (64, BATCH_SIGNATURE_BYTES_MAX),
        "nonce": (1, 64),
        "raw_tx": (1, RAW_TX_BYTES_MAX),
        "script": (22, 34),
        "key": (33, 33),
        "chain_code": (32, 32),
        "possession": (64, 64),
        "signatures": (64, 64),
        "header": (80, 80),
        "siblings": (32, 32),
        "following_headers": (80, 80),
        "headers": (80, 80),
        "first": (0, 64 * 1024),
        "second": (0, 64 * 1024),
    }
)
"""How long the bytes of each field are, whichever struct it stands in."""

ITEMS_MAX: Mapping[str, int] = MappingProxyType(
    {
        "reports": 10_000,
        "commits": 1024,
        "following_headers": 2016,
        "headers": HEADERS_KEPT,
        "cosignatures": MEMBERS_MAX,
        "members": MEMBERS_MAX,
        "beacon_tips": MEMBERS_MAX,
        "points": POINTS,
        "survivors": PARTICIPANTS_MAX,
        "left_out": PARTICIPANTS_MAX,
        "faulty": PARTICIPANTS_MAX,
    }
)
"""How many items a list field may have, where it is not `LIST_ITEMS_MAX`."""


BEGAN: Mapping[type[Body], int] = MappingProxyType(
    {ImageClaimed: IMAGES_VERSION, Marked: MARKS_VERSION}
)
"""The state version with which a kind of record began, where programs of the one before do not
know it: no member votes for one in an earlier epoch, whoever proposes it."""


def check_admissible(data: bytes, cluster: bytes, state_version: int = KNOWN_VERSION) -> Record:
    """Read a record that members may vote for; raise RemoteProtocolError with the reason.

    The version is that of the epoch in which it is proposed, and the same for all.
    """
    record = decode_record(data)
    fault = _early_fault(record.body, state_version) or shape_fault(record)
    if fault is not None:
        raise RemoteProtocolError(fault)
    if not verify_record(record, cluster):
        raise RemoteProtocolError("the author did not sign this record for this cluster")
    return record


def _early_fault(body: Body, state_version: int) -> str | None:
    began = MARKS_VERSION if _has_marks(body) else BEGAN.get(type(body), 0)
    if state_version >= began:
        return None
    return f"a record that begins with state version {began}, in one of {state_version}"


def _has_marks(body: Body) -> bool:
    """Tell whether a field is a list that earlier programs read as a number, whatever it says."""
    match body:
        case Admit(spec=spec):
            return isinstance(spec.attempts_max, Attempts)
        case Settle(receipts=receipts):
            return any(isinstance(each.receipt.started_ms, GoneOn) for each in receipts)
        case FlUpdate(receipt=SignedReceipt(receipt=receipt)):
            return isinstance(receipt.started_ms, GoneOn)
        case _:
            return False


def is_admissible(data: bytes, cluster: bytes, state_version: int = KNOWN_VERSION) -> bool:
    """Tell whether members may vote for a block with this record."""
    try:
        check_admissible(data, cluster, state_version)
    except RemoteProtocolError:
        return False
    return True


def may_propose(record: Record, state: LedgerState) -> bool:
    """Tell whether a node should take a record into its pool, or pass it on.

    Only for that, never for a vote: members' states differ for a moment, and a vote that looked
    at them would refuse blocks that others made in good faith. The ledger decides in the end.
    """
    body = record.body
    if _early_fault(body, state.version) is not None:
        return False
    if not isinstance(body, Join):
        return state.node(record.author) is not None
    return (
        record.author == body.node
        and state.node(body.node) is None
        and body.inviter in state.members
        and verify(
            body.inviter,
            "invite",
            state.cluster,
            grant_payload(body.invite_key, body.expires_ms),
            body.grant_signature,
        )
    )


def decode_record(data: bytes) -> Record:
    """Read a record; raise RemoteProtocolError unless it is canonical."""
    record = _decoded.find(data)
    if record is None:
        record = decode(data, Record, RECORD_BYTES_MAX)
        if len(data) <= CACHED_BYTES_MAX:  # larger ones are rare
            _decoded.keep(data, record)
    return record


_decoded: Remembered[Record] = Remembered(DECODED_BYTES_MAX)


def shape_fault(value: msgspec.Struct) -> str | None:
    """Name the first field whose number, text, bytes or list is out of bounds."""
    for name in value.__struct_fields__:
        fault = _field_fault(name, getattr(value, name))
        if fault is not None:
            return fault
    return None


def _field_fault(name: str, field: object) -> str | None:
    if isinstance(field, msgspec.Struct):
        return shape_fault(field)
    if isinstance(field, tuple):
        most = ITEMS_MAX.get(name, LIST_ITEMS_MAX)
        if len(field) > most:
            return f"{name} has {len(field)} items, at most {most} are allowed"
        faults = (_field_fault(name, item) for item in field)
        return next((fault for fault in faults if fault is not None), None)
    if isinstance(field, bytes):
        shortest, longest = BYTES_BETWEEN[name]
        if not shortest <= len(field) <= longest:
            return f"{name} has {len(field)} bytes, not {shortest} to {longest}"
    elif isinstance(field, str):
        if name in PLAIN_CHARS_MAX:
            return plain_fault(name, field, PLAIN_CHARS_MAX[name])
        if len(field) > TEXT_CHARS_MAX:
            return f"{name} has {len(field)} characters, at most {TEXT_CHARS_MAX} are allowed"
    elif isinstance(field, int) and not 0 <= field <= NUMBER_MAX:
        return f"{name} is {field}; it must lie between 0 and {NUMBER_MAX}"
    return None
