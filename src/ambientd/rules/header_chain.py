"""A chain of Bitcoin headers that was checked, header by header, by the network's own rules.

Linkage, proof of work, the target each header had to meet, versions, and the median time past.
Signet's block signatures are not in headers and stay unchecked. A chain may begin at a checkpoint,
the first header of a retarget period; then the median time past is known from the eleventh on.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ambientd.errors import UsageError
from ambientd.rules.bitcoin_codec import HEADER_SIZE, double_sha256, target_from_bits
from ambientd.rules.bitcoin_networks import RETARGET_BLOCKS, Network

PERIOD_S: Final = 14 * 24 * 3600
SLOW_BLOCK_S: Final = 20 * 60
TIMEWARP_S: Final = 600  # BIP 94: how far a period may begin before its predecessor's end
MEDIAN_SPAN: Final = 11
_FIELDS: Final = struct.Struct("<i32s32sIII")
_NO_VERSION_MIN: Final = -(1 << 31)
_TIME_AND_BITS: Final = struct.Struct("<68xII4x")


@dataclass(frozen=True, slots=True)
class Extended:
    """Headers were taken; `replaced` of the chain's own gave way to heavier ones."""

    added: int
    replaced: int


@dataclass(frozen=True, slots=True)
class NotHeavier:
    """The headers are right, but the chain at hand has as much work or more."""


@dataclass(frozen=True, slots=True)
class HeaderFault:
    """A header breaks a rule of its network; nothing was taken."""

    height: int
    reason: str


def bits_from_target(target: int) -> int:
    """Write a target in compact form; the bits it cannot hold are dropped."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x800000:  # would read as a sign
        mantissa, size = mantissa >> 8, size + 1
    return size << 24 | mantissa


def retarget(bits: int, first_time_s: int, last_time_s: int, pow_limit: int) -> int:
    """Give the bits of the next period from those of this one and how long it took."""
    span_s = min(max(last_time_s - first_time_s, PERIOD_S // 4), PERIOD_S * 4)
    return bits_from_target(min(target_from_bits(bits) * span_s // PERIOD_S, pow_limit))


def work_of(bits: int) -> int:
    """Give the number of hashes that a header of these bits takes on average."""
    return (1 << 256) // (target_from_bits(bits) + 1)


class HeaderChain:
    """The heaviest chain seen above a header that is trusted: the genesis or a checkpoint."""

    __slots__ = ("_base_height", "_checkpoints", "_headers", "_limit_bits", "_network")

    def __init__(
        self,
        network: Network,
        base_height: int = 0,
        checkpoints: Mapping[int, bytes] | None = None,
    ) -> None:
        """Begin at a checkpoint, or at height 0; checkpoints are headers that must be passed."""
        self._checkpoints = {0: network.genesis, **(checkpoints or {})}
        base = self._checkpoints.get(base_height)
        if base is None or base_height % RETARGET_BLOCKS:
            msg = f"there is no checkpoint at height {base_height} of {network.name} to begin with"
            raise UsageError(msg)
        self._network = network
        self._base_height = base_height
        self._headers = bytearray(base)
        self._limit_bits = bits_from_target(network.pow_limit)

    @property
    def network(self) -> Network:
        """The network whose rules hold."""
        return self._network

    @property
    def base_height(self) -> int:
        """The height of the header that is trusted."""
        return self._base_height

    @property
    def height(self) -> int:
        """The height of the tip."""
        return self._base_height + len(self._headers) // HEADER_SIZE - 1

    @property
    def tip_hash(self) -> bytes:
        """The hash of the tip."""
        return double_sha256(self.header(self.height))

    def header(self, height: int) -> bytes:
        """Give the header at a height between base and tip."""
        return self.headers(height, height + 1)

    def headers(self, start: int, end: int) -> bytes:
        """Give the headers from one height up to, without, another, in one piece."""
        if not self._base_height <= start <= end <= self.height + 1:
            msg = f"headers {start} to {end} are not in {self._base_height} to {self.height}"
            raise ValueError(msg)
        first = (start - self._base_height) * HEADER_SIZE
        return bytes(self._headers[first : first + (end - start) * HEADER_SIZE])

    def confirmations(self, header: bytes, height: int) -> int:
        """Count the headers on top of, and including, one at a height; 0 when it is not there."""
        if not self._base_height <= height <= self.height or self.header(height) != header:
            return 0
        return self.height - height + 1

    def extend(
        self, start: int, raw: bytes, time_max_s: int | None = None
    ) -> Extended | NotHeavier | HeaderFault:
        """Take headers whose first has the height `start`, if they are right and heavier.

        `time_max_s`: the latest time a header may claim, two hours ahead of one's own clock.
        """
        if not self._base_height < start <= self.height + 1:
            return HeaderFault(start, f"its predecessor is not among those up to {self.height}")
        if not raw or len(raw) % HEADER_SIZE:
            return HeaderFault(start, f"{len(raw)} bytes are not whole headers of {HEADER_SIZE}")
        kept = (start - self._base_height) * HEADER_SIZE
        own = bytes(self._headers[kept:])
        self._headers[kept:] = raw
        with memoryview(self._headers) as view:
            fault = self._fault(view, start, time_max_s)
        if fault is None and (not own or _work(raw) > _work(own)):
            return Extended(added=len(raw) // HEADER_SIZE, replaced=len(own) // HEADER_SIZE)
        self._headers[kept:] = own
        return fault or NotHeavier()

    def required_bits(self, time_s: int) -> int:
        """Give the bits that the next header must have when it claims this time."""
        with memoryview(self._headers) as view:
            return self._required_bits(view, self.height + 1 - self._base_height, time_s)

    def _fault(self, view: memoryview, start: int, time_max_s: int | None) -> HeaderFault | None:
        """Check the headers from a height on; those before it are known to be right."""
        network, place = self._network, start - self._base_height
        previous = double_sha256(bytes(view[(place - 1) * HEADER_SIZE : place * HEADER_SIZE]))
        window = [_time_and_bits(view, at)[0] for at in range(max(0, place - MEDIAN_SPAN), place)]
        # Above every time seen is above the median, too; so that is worked out for few headers.
        time_s, highest_s = window[-1], max(window)
        required, target = 0, 0
        sha256 = hashlib.sha256
        fields = _FIELDS.iter_unpack(view[place * HEADER_SIZE :])
        for at, (version, parent, _, new_time_s, bits, _) in enumerate(fields, start=place):
            height = self._base_height + at
            if parent != previous:
                return HeaderFault(height, "it does not follow its predecessor")
            if not target or height % RETARGET_BLOCKS == 0 or network.allows_slow_blocks:
                required = self._required_bits(view, at, new_time_s)
                target = target_from_bits(required)
            if bits != required:
                return HeaderFault(height, f"it has bits {bits:#010x}, not {required:#010x}")
            header = view[at * HEADER_SIZE : (at + 1) * HEADER_SIZE]
            previous = sha256(sha256(header).digest()).digest()
            if height % RETARGET_BLOCKS == 0 and self._checkpoints.get(height, header) != header:
                return HeaderFault(height, "another header is the checkpoint at this height")
            if int.from_bytes(previous, "little") > target:
                return HeaderFault(height, f"its hash does not meet bits {bits:#010x}")
            if new_time_s <= highest_s and new_time_s <= self._median(window):
                return HeaderFault(height, f"its time is not above the last {MEDIAN_SPAN}'s median")
            if version < 4 and version < self._version_min(height):
                return HeaderFault(height, f"version {version} is too old for this height")
            if new_time_s < time_s and self._is_timewarp(height, new_time_s, time_s):
                return HeaderFault(height, "the period begins too long before its predecessor ends")
            if time_max_s is not None and new_time_s > time_max_s:
                return HeaderFault(height, "its time is too far in the future")
            window.append(new_time_s)
            if len(window) > MEDIAN_SPAN:
                del window[0]
            time_s, highest_s = new_time_s, max(highest_s, new_time_s)
        return None

    def _required_bits(self, view: memoryview, at: int, new_time_s: int) -> int:
        """Give the bits that a header must have, from those before it."""
        network, height = self._network, self._base_height + at
        time_s, bits = _time_and_bits(view, at - 1)
        if not network.retargets:
            return self._limit_bits
        if height % RETARGET_BLOCKS:
            if not network.allows_slow_blocks:
                return bits
            if new_time_s > time_s + SLOW_BLOCK_S:
                return self._limit_bits
            # The last target of the period that was not a slow block's.
            while bits == self._limit_bits and (self._base_height + at - 1) % RETARGET_BLOCKS:
                at -= 1
                _, bits = _time_and_bits(view, at - 1)
            return bits
        first_time_s, first_bits = _time_and_bits(view, at - RETARGET_BLOCKS)
        if network.bounds_timewarp:
            bits = first_bits  # the last one's may be a slow block's (BIP 94)
        return retarget(bits, first_time_s, time_s, network.pow_limit)

    def _median(self, window: list[int]) -> int:
        """Give the median of the last times, or none where the base hides some of them."""
        is_whole = len(window) == MEDIAN_SPAN or self._base_height == 0
        return sorted(window)[len(window) // 2] if is_whole else -1

    def _version_min(self, height: int) -> int:
        passed = sum(height >= since for since in self._network.version_heights)
        return passed + 1 if passed else _NO_VERSION_MIN

    def _is_timewarp(self, height: int, new_time_s: int, time_s: int) -> bool:
        begins = height % RETARGET_BLOCKS == 0
        return self._network.bounds_timewarp and begins and new_time_s < time_s - TIMEWARP_S


def _time_and_bits(headers: memoryview, at: int) -> tuple[int, int]:
    time_s, bits = _TIME_AND_BITS.unpack_from(headers, at * HEADER_SIZE)
    return time_s, bits


def _work(headers: bytes) -> int:
    """Sum the work of headers whose bits are right."""
    counts = Counter(bits for _, bits in _TIME_AND_BITS.iter_unpack(headers))
    return sum(work_of(bits) * count for bits, count in counts.items())
