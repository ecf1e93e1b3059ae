"""How numbers are written: one node, 2 nodes, 1,000 entries; an epsilon of 4.383."""


def in_words(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, whose plural adds an s where none is given."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def rounded_up(epsilon: float) -> str:
    """Write an epsilon, known to a millionth, so that whoever allows what is written has room."""
    return f"{-(-round(epsilon * 1_000_000) // 1_000) / 1_000:.3f}"
