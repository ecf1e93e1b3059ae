"""modules.lock: what pinned modules' names mean, durably."""

from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.config.module_pins import Pin, decode_pins, encode_pins
from ambientd.errors import ConfigError, StoreError


class PinFile:
    """Keeps pins in one file; where there is none, nothing is pinned."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Pin, ...]:
        """Read the pins; raise ConfigError for a file that cannot be read."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        return decode_pins(data, str(self._path))

    def keep(self, pins: tuple[Pin, ...]) -> None:
        """Put the pins on disk, to outlive a power cut; raise StoreError when that fails."""
        try:
            replace_synced(self._path, self._path.with_suffix(".lock.new"), encode_pins(pins))
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}; nothing was changed"
            raise StoreError(msg) from error
