"""owner.json: what the owner lets the node do, durably."""

from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.config.owner_terms import OwnerTerms, decode_terms, encode_terms
from ambientd.errors import ConfigError, StoreError


class OwnerFile:
    """Keeps the owner's terms in one file; where there is none, the owner has said nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> OwnerTerms:
        """Read the terms; raise ConfigError for a file that cannot be read."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return OwnerTerms()
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        return decode_terms(data, str(self._path))

    def keep(self, terms: OwnerTerms) -> None:
        """Put the terms on disk, to outlive a power cut; raise StoreError when that fails."""
        draft = self._path.with_suffix(".json.new")
        try:
            replace_synced(self._path, draft, encode_terms(terms))
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}; nothing was changed"
            raise StoreError(msg) from error
