"""ambientd: the composition root, the only place that picks adapters."""


def main() -> int:
    """Run one node until it is told to stop."""
    return 0
