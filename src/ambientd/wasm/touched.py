"""Which pages of a state a stretch touches: executing tells, one page after the other.

The stretch is executed with all pages left out that are not zero, again and again, each time with
the page that the last time touched (protocols/13 §5).
"""

from ambientd.wasm.state import ZERO_PAGE, State, leave_out

PAGES_TOUCHED_MAX = 512
"""A stretch that touches more pages than these keeps its whole state."""


class TouchedPages:
    """A state, and what is known to be touched of it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._carried = {page for page, data in enumerate(state.pages) if data != ZERO_PAGE}
        self._touched: set[int] = set()

    def touch(self, page: int) -> None:
        """Note a page that is needed."""
        self._touched.add(page)

    def trial(self) -> State | None:
        """Give the state without the pages that nothing has touched yet.

        None where that leaves nothing out, or too many were touched. Zero pages take no place.
        """
        if not self._touched < self._carried or len(self._touched) > PAGES_TOUCHED_MAX:
            return None
        return leave_out(self._state, self._carried - self._touched)
