"""How numbers are written: one node, 2 nodes, 1,000 entries; an epsilon of 4.383; 3 of 4 items."""


def in_words(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, whose plural adds an s where none is given."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def outcome_in_words(outcome: str, items: int | None, completed: int | None) -> str:
    """Say how a task ended; of a bundle that has outcomes, what came of its items."""
    if items is None or outcome != "completed":
        return outcome
    if completed is None:
        return f"ended, {in_words(items, 'item')}"
    if completed == items:
        return f"completed, {in_words(items, 'item')}"
    if not completed:
        return f"failed, none of {in_words(items, 'item')} completed"
    return f"in part, {completed:,} of {in_words(items, 'item')} completed"


def rounded_up(epsilon: float) -> str:
    """Write an epsilon, known to a millionth, so that whoever allows what is written has room."""
    return f"{-(-round(epsilon * 1_000_000) // 1_000) / 1_000:.3f}"
