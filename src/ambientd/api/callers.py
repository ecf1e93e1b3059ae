"""Who asks: set by each front end before it calls a handler."""

from contextvars import ContextVar

CALLER: ContextVar[str] = ContextVar("caller", default="the daemon")
"""Such as "user 1000" at the local socket, "token NAME" over HTTP."""
