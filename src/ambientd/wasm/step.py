"""What the image of steps reads: a module, a state of it, and how far to go (protocols/18 §10)."""

from ambientd.wasm.left_out import blocks
from ambientd.wasm.state import ZERO_PAGE, Stage, State

LEFT_OUT, ZERO, CARRIED = 0, 1, 2


def is_steppable(state: State) -> bool:
    """Tell whether the image takes such a state: one in the midst of the module's `run`."""
    return state.header.stage == Stage.RUN


def step_words(pausable: bytes, state: State, until_gas: int) -> bytes:
    """Give what the image reads, in its order; pages that a state leaves out stay so."""
    header, limits = state.header, state.header.limits
    left_out = state.left_out
    unknown = frozenset[int]() if left_out is None else left_out.pages
    hashes = [] if left_out is None else [left_out.hashes[block] for block in blocks(unknown)]
    wide = (
        until_gas,
        limits.memory_bytes_max,
        limits.wall_ms_max,
        limits.gas_max,
        limits.output_bytes_max,
        limits.log_bytes_max,
        header.gas_left,
    )
    counts = header.values_count, header.host_bytes, header.pages, len(hashes), len(pausable)
    numbers = [number.to_bytes(8, "little") for number in wide]
    numbers += [number.to_bytes(4, "little") for number in counts]
    kinds = bytes(
        LEFT_OUT if index in unknown else ZERO if page == ZERO_PAGE else CARRIED
        for index, page in enumerate(state.pages)
    )
    carried = [page for page, kind in zip(state.pages, kinds, strict=True) if kind == CARRIED]
    digests = header.input, header.seed, header.host
    return b"".join([*numbers, *digests, pausable, state.values, kinds, *carried, *hashes])
