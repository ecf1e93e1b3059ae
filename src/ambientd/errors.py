"""The whole error hierarchy, split by whose fault an error is."""


class AmbientError(Exception):
    """Anything the project raises on purpose; its text is fit for a person."""


class ConfigError(AmbientError):
    """The operator's: a wrong option, path, key or permission."""


class UsageError(AmbientError):
    """The caller's: a request that makes no sense as asked."""


class UnreachableError(AmbientError):
    """A daemon or a chain that does not answer."""


class StoreError(AmbientError):
    """The disk's: a full disk, a corrupted row, a store in use."""


class DamagedError(StoreError):
    """A file's, whose bytes are not what was written: damaged, cut off, forged or no such file."""


class LocalProtocolError(AmbientError):
    """Ours: a bug that would break the protocol if it went on."""


class RemoteProtocolError(AmbientError):
    """A peer's: drop the message, count it, penalise the sender."""
