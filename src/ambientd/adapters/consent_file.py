"""learning.json: which of this device's data its owner lets each study use, durably."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import ConfigError, StoreError
from ambientd.model.learning import StudyId
from ambientd.ports.learning import Consent


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """One study's line."""

    data: str


class ConsentFile:
    """Keeps an owner's consents in one file; where there is none, there are none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Mapping[StudyId, Consent]:
        """Read the consents; raise ConfigError for a file that cannot be read."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Kept])
            return {
                StudyId(bytes.fromhex(name)): Consent(kept.data) for name, kept in found.items()
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        except (msgspec.DecodeError, ValueError) as error:
            msg = f"{self._path}: {error}; move it away, and join the studies again"
            raise ConfigError(msg) from error

    def keep(self, consents: Mapping[StudyId, Consent]) -> None:
        """Put the consents on disk, to outlive a power cut; raise StoreError when that fails."""
        draft = self._path.with_suffix(".json.new")
        kept = {study.hex(): _Kept(consent.data) for study, consent in sorted(consents.items())}
        try:
            replace_synced(self._path, draft, msgspec.json.format(msgspec.json.encode(kept)))
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}; nothing was changed"
            raise StoreError(msg) from error
