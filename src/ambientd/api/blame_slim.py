"""A certificate of a wrong step with only the pages that its stretch touches (protocols/13 §5).

Which these are, executing tells: the stretch is executed with all pages left out that are not
zero, again and again, each time with the page that the last time touched.
"""

from contextlib import closing

from msgspec.structs import replace

from ambientd.api.blame_replay import Replay, Stretch, blobs_of
from ambientd.codec.canonical import encode
from ambientd.errors import UsageError
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.ports.worker_protocol import PageLeftOut
from ambientd.rules.blame_check import state_of
from ambientd.wasm.state import ZERO_PAGE, State, encode_state, leave_out

PAGES_TOUCHED_MAX = 512
"""A stretch that touches more pages than these keeps its whole state."""


def slimmed(file: BlameFile, replay: Replay) -> bytes:
    """Give a certificate that was checked, with all pages left out that need not be there.

    Raises UsageError where they cannot be told from the others. Ends the process in any case.
    """
    with closing(replay.process):
        return _slimmed(file, replay)


def _slimmed(file: BlameFile, replay: Replay) -> bytes:
    evidence, (module, data) = file.evidence, blobs_of(file, replay)
    if not isinstance(evidence, WrongStep) or not evidence.state:
        raise UsageError("it holds no state, so there are no pages to leave out")
    if module is None or data is None:
        msg = "module and input are needed; give them with --module and --input"
        raise UsageError(msg)
    state = state_of(evidence)
    assert isinstance(state, State), "a certificate is checked before"
    if state.left_out is not None:
        raise UsageError("it has pages left out already")
    with replay.process as process:
        stretch = Stretch.prepared(evidence, process, module, data)
        if isinstance(stretch, str):
            raise UsageError(stretch)
        made = least(state, stretch)
        if made is None:
            raise UsageError("its stretch touches all pages, or too many to leave the others out")
        data = encode_state(made)
        return encode(replace(file, evidence=replace(evidence, state=data)))


def least(state: State, stretch: Stretch) -> State | None:
    """Give the state with the touched pages alone; None where these are all, or too many.

    Zero pages take no place in any case. Raises UsageError where nothing can be told.
    """
    carried = {page for page, data in enumerate(state.pages) if data != ZERO_PAGE}
    touched: set[int] = set()
    while touched < carried and len(touched) <= PAGES_TOUCHED_MAX:
        made = leave_out(state, carried - touched)
        stop = stretch.replayed(encode_state(made))
        if stop == stretch.evidence.verdicts[0].end:
            return made
        if not isinstance(stop, PageLeftOut) or stop.page is None:
            msg = f"its pages cannot be told apart here: {stretch.fault(stop)}"
            raise UsageError(msg)
        touched.add(stop.page)
    return None
