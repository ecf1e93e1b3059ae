"""A certificate of a wrong step with only the pages that its stretch touches (protocols/13 §5)."""

from contextlib import closing

from msgspec.structs import replace

from ambientd.api.blame_replay import Replay, Stretch, begun
from ambientd.codec.canonical import encode
from ambientd.errors import UsageError
from ambientd.model.blame import BlameFile
from ambientd.ports.worker_protocol import PageLeftOut
from ambientd.wasm.state import State, encode_state
from ambientd.wasm.touched import TouchedPages


def slimmed(file: BlameFile, replay: Replay) -> bytes:
    """Give a certificate that was checked, with all pages left out that need not be there.

    Raises UsageError where they cannot be told from the others. Ends the process in any case.
    """
    with closing(replay.process):
        return _slimmed(file, replay)


def _slimmed(file: BlameFile, replay: Replay) -> bytes:
    step = begun(file, replay, "so there are no pages to leave out")
    if step.state.left_out is not None:
        raise UsageError("it has pages left out already")
    with replay.process as process:
        made = least(step.state, Stretch.opened(step, process))
        if made is None:
            raise UsageError("its stretch touches all pages, or too many to leave the others out")
        slim = replace(step.evidence, state=encode_state(made))
        return encode(replace(file, evidence=slim))


def least(state: State, stretch: Stretch) -> State | None:
    """Give the state with the touched pages alone; None where these are all, or too many.

    Zero pages take no place in any case. Raises UsageError where nothing can be told.
    """
    pages = TouchedPages(state)
    while (made := pages.trial()) is not None:
        stop = stretch.replayed(encode_state(made))
        if stop == stretch.evidence.verdicts[0].end:
            return made
        if not isinstance(stop, PageLeftOut) or stop.page is None:
            msg = f"its pages cannot be told apart here: {stretch.fault(stop)}"
            raise UsageError(msg)
        pages.touch(stop.page)
    return None
