"""A paused execution outside of any process, and how it travels to one and back.

What a process hands back of a pause is held against what was asked before anyone keeps it: the
state decodes, has the root that was named, and is of this module, input, limits and seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.ports.worker_protocol import (
    STATE_PIECE_BYTES,
    ExecutePausable,
    ExecutionPaused,
    GiveState,
    TakeState,
)
from ambientd.wasm.state import STATE_BYTES_MAX, StateHeader, decode_header, decode_state


@dataclass(frozen=True, slots=True)
class PausedState:
    """Root and encoded state of a paused execution."""

    root: bytes
    data: bytes

    @property
    def header(self) -> StateHeader:
        """Read what the state says of itself; raise RemoteProtocolError."""
        return decode_header(self.data)

    @property
    def gas_index(self) -> int | None:
        """Read where it says that it stands; None when it is no state."""
        try:
            header = self.header
        except RemoteProtocolError:
            return None
        return header.limits.gas_max - header.gas_left


def pieces_of(state: PausedState) -> Iterator[TakeState]:
    """Give the requests that hand a state over."""
    for offset in range(0, len(state.data), STATE_PIECE_BYTES):
        yield TakeState(offset=offset, data=state.data[offset : offset + STATE_PIECE_BYTES])


def requests_for(paused: ExecutionPaused) -> Iterator[GiveState]:
    """Give the requests that take a state out; none for a size that no state has."""
    if 0 < paused.size_bytes <= STATE_BYTES_MAX:
        for offset in range(0, paused.size_bytes, STATE_PIECE_BYTES):
            yield GiveState(offset=offset)


def checked_state(
    data: bytes, paused: ExecutionPaused, asked: ExecutePausable
) -> PausedState | None:
    """Give the state that these bytes are, or None unless it is what was asked and named."""
    try:
        state = decode_state(data)
    except RemoteProtocolError:
        return None
    header = state.header
    fits = (
        len(data) == paused.size_bytes
        and state.gas_index == paused.gas_index
        and header.module == asked.prepared
        and header.input == sha256(asked.input)
        and (header.limits, header.seed) == (asked.limits, asked.seed)
        and asked.pause_at is not None
        and state.gas_index >= asked.pause_at
        and state.root() == paused.root
    )
    return PausedState(root=paused.root, data=data) if fits else None
