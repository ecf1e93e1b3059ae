"""How a count is written: one node, 2 nodes, 1,000 entries."""


def in_words(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, whose plural adds an s where none is given."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"
