"""ambientd: one node, or a fleet of them. What a node is made of is imported once it is known."""

from ambientd.daemon.main import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, main

__all__ = ["EXIT_DONE", "EXIT_FAILED", "EXIT_USAGE", "main"]
