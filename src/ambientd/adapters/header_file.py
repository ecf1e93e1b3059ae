"""A chain of Bitcoin headers in a file, and the checkpoints that are shipped (protocols/09).

The bytes are what anyone can copy, so nothing in a file is believed before it is checked.
"""

import errno
import os
import struct
from importlib import resources
from pathlib import Path
from typing import Final

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError
from ambientd.rules.bitcoin import HEADER_SIZE, NETWORKS, Network, double_sha256
from ambientd.rules.bitcoin_networks import RETARGET_BLOCKS
from ambientd.rules.header_chain import Extended, HeaderChain, HeaderFault, NotHeavier

MAGIC: Final = b"AMBHDR\x00\x01"
_PREFIX: Final = struct.Struct(">8s32sI")


def checkpoints(network: Network) -> dict[int, bytes]:
    """Give the shipped headers by height: each of them begins a retarget period."""
    file = resources.files("ambientd.adapters") / "checkpoints" / f"{network.name}.headers"
    if not file.is_file():
        return {}
    raw = file.read_bytes()
    return {
        RETARGET_BLOCKS * (place + 1): raw[place * HEADER_SIZE : (place + 1) * HEADER_SIZE]
        for place in range(len(raw) // HEADER_SIZE)
    }


def newest_checkpoint(network: Network) -> int:
    """Give the height of the newest shipped header, or 0."""
    return max(checkpoints(network), default=0)


def decode_headers(data: bytes) -> HeaderChain:
    """Read a file's bytes and check every header in them.

    Raises:
        RemoteProtocolError: when it is no header file, or breaks a rule of its network.
    """
    chain, raw = _begin(data)
    outcome = chain.extend(chain.base_height + 1, raw) if raw else None
    if isinstance(outcome, HeaderFault):
        msg = f"the header at height {outcome.height} is not valid: {outcome.reason}"
        raise RemoteProtocolError(msg)
    return chain


def salvage_headers(data: bytes) -> HeaderChain:
    """Read a file's bytes up to where they stop being right, as after a power cut.

    Raises:
        RemoteProtocolError: when it is no header file.
    """
    chain, raw = _begin(data)
    start = chain.base_height + 1
    raw = raw[: len(raw) // HEADER_SIZE * HEADER_SIZE]
    outcome = chain.extend(start, raw) if raw else None
    if isinstance(outcome, HeaderFault):
        raw = raw[: (outcome.height - start) * HEADER_SIZE]
        if raw:
            chain.extend(start, raw)
    return chain


def encode_headers(chain: HeaderChain) -> bytes:
    """Write a chain as a file's bytes."""
    prefix = _PREFIX.pack(MAGIC, double_sha256(chain.network.genesis), chain.base_height)
    return prefix + chain.headers(chain.base_height, chain.height + 1)


def network_of(path: Path) -> Network:
    """Give the network of a file of headers by its first bytes; the rest is not read.

    Raises:
        RemoteProtocolError: when it is no header file.
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        return _begin(file.read(_PREFIX.size + HEADER_SIZE))[0].network


def _begin(data: bytes) -> tuple[HeaderChain, bytes]:
    """Give the chain with the file's base, and the headers above it, unchecked."""
    if len(data) < _PREFIX.size + HEADER_SIZE or not data.startswith(MAGIC):
        raise RemoteProtocolError("this is no file of Bitcoin headers")
    _, genesis_hash, base_height = _PREFIX.unpack_from(data)
    found = [each for each in NETWORKS.values() if double_sha256(each.genesis) == genesis_hash]
    if not found:
        raise RemoteProtocolError("the headers are of a Bitcoin network that is not known here")
    known = checkpoints(found[0])
    if base_height and base_height not in known:
        msg = f"the headers begin at height {base_height}, where no checkpoint is known"
        raise RemoteProtocolError(msg)
    chain = HeaderChain(found[0], base_height, known)
    first = _PREFIX.size + HEADER_SIZE
    if data[_PREFIX.size : first] != chain.header(base_height):
        raise RemoteProtocolError("the first header is not the checkpoint at its height")
    return chain, data[first:]


class HeaderFile:
    """A chain that is kept: what was taken is on disk before it is acted upon.

    A power cut can lose or tear the last headers. As every header names its predecessor, opening
    the file again keeps those that are right and drops the rest: they are fetched again.
    """

    def __init__(self, path: Path, network: Network, base_height: int = 0) -> None:
        """Open the file, or make it.

        Raises:
            ConfigError: when the file is of another network.
            StoreError: when the file cannot be read or written.
        """
        self._path = path
        try:
            self.chain = self._read(network, base_height)
        except OSError as error:
            raise StoreError(f"the headers in {path} cannot be read: {error.strerror}") from error

    @property
    def path(self) -> Path:
        """Where the headers are."""
        return self._path

    def extend(
        self, start: int, raw: bytes, time_max_s: int | None = None
    ) -> Extended | NotHeavier | HeaderFault:
        """Take headers as the chain does, and keep them.

        Raises:
            StoreError: when the disk refuses; the chain in memory is ahead of it then.
        """
        outcome = self.take(start, raw, time_max_s)
        if isinstance(outcome, Extended):
            self.write(start, raw)
        return outcome

    def take(
        self, start: int, raw: bytes, time_max_s: int | None = None
    ) -> Extended | NotHeavier | HeaderFault:
        """Take headers into the chain; when they are Extended, `write` the same next."""
        return self.chain.extend(start, raw, time_max_s)

    def write(self, start: int, raw: bytes) -> None:
        """Keep headers that were taken: as `extend`, for a thread that may wait for the disk."""
        self._write(_PREFIX.size + (start - self.chain.base_height) * HEADER_SIZE, raw)

    def _read(self, network: Network, base_height: int) -> HeaderChain:
        if not self._path.exists():
            chain = HeaderChain(network, base_height, checkpoints(network))
            draft = self._path.with_suffix(".new")
            try:
                replace_synced(self._path, draft, encode_headers(chain))
            except OSError as error:
                raise self._not_written(error) from error
            return chain
        try:
            chain = salvage_headers(self._path.read_bytes())
        except RemoteProtocolError as error:
            msg = f"{self._path}: {error}. Delete it, and the headers are fetched again"
            raise ConfigError(msg) from error
        if chain.network != network:
            msg = f"{self._path} has headers of {chain.network.name}, not of {network.name}"
            raise ConfigError(msg)
        return chain

    def _write(self, place: int, data: bytes) -> None:
        try:
            with self._path.open("r+b") as file:
                file.seek(place)
                file.write(data)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> StoreError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room on its disk" if full else "check the folder and its disk"
        return StoreError(f"cannot write the headers in {self._path}: {error.strerror}; {advice}")
