"""What needs no daemon and no network: checking a receipt file, and Bitcoin headers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambientd.errors import ConfigError, RemoteProtocolError, UsageError

if TYPE_CHECKING:
    from ambientd.adapters.timestamps import Stamped
    from ambientd.model.genesis import Genesis
    from ambientd.rules.header_chain import HeaderChain
    from ambientd.rules.receipt_check import ReceiptReport
    from ambientd.rules.receipt_epochs import FollowedEpoch
    from ambientd.rules.round_check import RoundReport

RECEIPT_BYTES_MAX = 16 * 1024 * 1024
HEADERS_BYTES_MAX = 1024 * 1024 * 1024


def check_receipt(
    data: bytes,
    pinned: bytes | None = None,
    output: bytes | None = None,
    headers: "HeaderChain | None" = None,
    trusted_epoch: bytes | None = None,
) -> "ReceiptReport":
    """Check a receipt file, also an item's, against whatever else is given."""
    from ambientd.rules.item_check import read_item_receipt, with_item_checked
    from ambientd.rules.receipt_check import check_receipt_file

    item = read_item_receipt(data)
    report = check_receipt_file(
        data if item is None else item.receipt,
        pinned=pinned,
        output=output if item is None else None,
        headers=headers,
        follow=_follow_epochs,
        trusted_epoch=trusted_epoch,
    )
    return report if item is None else with_item_checked(report, item, output)


def check_round(
    data: bytes, pinned: bytes | None = None, model: bytes | None = None
) -> "RoundReport":
    """Check the file of a round of federated learning; fingerprint and model when given."""
    from ambientd.rules.round_check import check_round_file

    return check_round_file(data, pinned=pinned, model=model, follow=_follow_epochs)


def exported_model(data: bytes, name: str) -> bytes:
    """Give the numbers of a model that was exported as .npz; raise UsageError naming the file."""
    try:
        from ambientd.adapters.learning import npz_file  # numpy, for those who learn
    except ImportError as error:
        msg = f"{error.name} is not installed here: pip install 'numpy>=2' brings it"
        raise UsageError(msg) from error
    try:
        return npz_file.read(data)
    except ConfigError as error:
        raise UsageError(f"{name}: {error}") from error


def _follow_epochs(
    genesis: "Genesis", ends: tuple[bytes, ...]
) -> "tuple[FollowedEpoch, ...] | str":
    """Follow changes of the committee; what that takes is loaded when there was one."""
    from ambientd.node.stops import follow_epochs

    return follow_epochs(genesis, ends)


def read_headers(data: bytes, name: str) -> "HeaderChain":
    """Check a file of Bitcoin headers from its base to its tip.

    Raises:
        UsageError: when it is none, or breaks a rule of its network.
    """
    from ambientd.adapters.header_file import decode_headers

    try:
        return decode_headers(data)
    except RemoteProtocolError as error:
        msg = (
            f"{name}: {error}; "
            "`ambientctl headers sync FILE --network NETWORK --esplora URL` fetches another"
        )
        raise UsageError(msg) from error


def stamp(data: bytes, *, batch: bool) -> "Stamped":
    """Give a receipt's, or its batch's, OpenTimestamps file and the document it stamps.

    Raises:
        UsageError: when the receipt does not hold, or has no anchor yet.
    """
    from ambientd.adapters.timestamps import batch_timestamp, receipt_timestamp

    report = check_receipt(data)
    if report.file is None or not report.valid:
        raise UsageError("the receipt does not hold: `ambientctl receipt verify` says why")
    return batch_timestamp(report.file) if batch else receipt_timestamp(report.file)


@dataclass(frozen=True, slots=True)
class HeaderTip:
    """A chain's last header, for people."""

    hash: str
    time: str


def tip_of(chain: "HeaderChain") -> HeaderTip:
    """Give the last header's hash as Bitcoin programs show it, and its time."""
    from ambientd.rules.bitcoin import decode_header, display
    from ambientd.rules.receipt_trust import utc

    tip = decode_header(chain.header(chain.height))
    return HeaderTip(hash=display(tip.hash), time=utc(tip.time_s))
