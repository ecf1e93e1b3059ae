"""How callers name nodes and tasks: by a name, or by enough of an id."""

from collections.abc import Iterable, Mapping

from ambientd.api.operations import OperationError

NAME_CHARS_MIN = 4
WAITING = "waiting"
TAKEN_BACK = "taken back"
"""States of a task that the log does not have; the ledger names none of its states so."""

_TASKS = (
    "`ambientctl task list` shows the ones this node knows, and "
    f"`ambientctl task list --state {WAITING}` what the log has not taken yet"
)


def match_node(text: str, names: Mapping[str, str], what: str = "node") -> str:
    """Find the one node of that name, or whose id starts so; raise OperationError for none or two.

    Names are what owners say, so one alone decides nothing where another node fits as well.
    """
    wanted = text.lower()
    is_start = len(wanted) >= NAME_CHARS_MIN and not wanted.strip("0123456789abcdef")
    found = sorted(
        node
        for node, name in names.items()
        if (text and name == text) or (is_start and node.startswith(wanted))
    )
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"no {what} {text!r} is known here, neither as a name nor as the start of an id"
        raise OperationError("not_found", msg, "`ambientctl nodes` lists names and ids")
    alike = ", ".join(f"{names[node]} {node[:12]}".strip() for node in found[:3])
    msg = f"more than one {what} is meant by {text!r}: {alike}"
    raise OperationError("ambiguous", msg, "give enough digits of the id of one")


def match_id(prefix: str, known: Iterable[str], what: str = "task") -> str:
    """Find the one identifier that starts with `prefix`; raise OperationError for none or two."""
    wanted = prefix.lower()
    if len(wanted) < NAME_CHARS_MIN or wanted.strip("0123456789abcdef"):
        hint = f"give the {what}'s id in hex, or at least its first {NAME_CHARS_MIN} digits"
        msg = f"{prefix!r} is not the id of a {what}"
        raise OperationError("invalid", msg, hint)
    first: str | None = None
    for candidate in known:
        if candidate.startswith(wanted):
            if first is not None and candidate != first:
                msg = f"more than one {what} starts with {prefix}"
                raise OperationError("ambiguous", msg, "give more digits of the id")
            first = candidate
    if first is None:
        hint = _TASKS if what == "task" else ""
        msg = f"no {what} {prefix} is known here"
        raise OperationError("not_found", msg, hint)
    return first
