"""The entry point; an interrupt ends it quietly, also while the rest is still being imported."""

import sys

_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run ambientctl; give its exit code."""
    try:
        from ambientd.cli.dispatch import dispatch

        return dispatch(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
