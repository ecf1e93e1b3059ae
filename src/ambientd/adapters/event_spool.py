"""Events that wait for their receiver, a file each, so that a restart loses none of them."""

from pathlib import Path

from ambientd.adapters.durable_files import write_synced
from ambientd.errors import StoreError

WAITING_MAX = 1_000


class EventSpool:
    """A queue in a folder, of bounded length: where it is full, the oldest event goes."""

    def __init__(self, folder: Path, waiting_max: int = WAITING_MAX) -> None:
        self._folder = folder
        self._waiting_max = waiting_max
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for torn in folder.glob("*.draft"):
                torn.unlink()
            self._names = sorted(each.name for each in folder.glob("[0-9]*.json"))
        except OSError as error:
            raise self._fault(error) from error
        self._next = int(self._names[-1].partition(".")[0]) + 1 if self._names else 1

    def _fault(self, error: OSError) -> StoreError:
        return StoreError(f"{self._folder}: {error.strerror}; check the folder and its disk")

    def add(self, data: bytes) -> int:
        """Keep an event, and give how many older ones had to go; raise StoreError if it cannot."""
        name = f"{self._next:012}.json"
        draft = self._folder / f"{name}.draft"
        try:
            draft.unlink(missing_ok=True)
            write_synced(draft, data)
            draft.replace(self._folder / name)
            self._next += 1
            self._names.append(name)
            gone = self._names[: -self._waiting_max]
            for each in gone:
                (self._folder / each).unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(error) from error
        del self._names[: len(gone)]
        return len(gone)

    def first(self) -> tuple[str, bytes] | None:
        """Give the oldest event with its name, if any waits; raise StoreError."""
        while self._names:
            try:
                return self._names[0], (self._folder / self._names[0]).read_bytes()
            except FileNotFoundError:
                del self._names[0]  # somebody has taken it away
            except OSError as error:
                raise self._fault(error) from error
        return None

    def done(self, name: str) -> None:
        """Let an event go."""
        if name in self._names:
            self._names.remove(name)
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(error) from error
