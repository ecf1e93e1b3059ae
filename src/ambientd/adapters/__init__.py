"""One module for each foreign library; nothing below reaches here."""

from ambientd.adapters import slim_structlog as _slim_structlog  # noqa: F401 - before all others
