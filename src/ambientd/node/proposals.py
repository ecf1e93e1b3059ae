"""What this node proposes: bodies of one event share a signature (protocols/01 section 5)."""

from collections.abc import Iterable

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_records
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.record import Body, Commits
from ambientd.model.task import Commit

REMEMBERED_BYTES_MAX = 256 * 1024

COMMITS_MAX = 64
"""Sealed answers in one record: about 20 KiB, so that a block has room for what others bring."""


class Proposals:
    """Bodies that wait for a signature, and the records that were made of the last ones.

    A role that is not heard proposes the same body again. It must become the same record, or the
    log, which takes a record once, would take it again in every batch that it is part of.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._waiting: dict[Body, None] = {}
        self._sealed: list[Commit] = []
        self._signed: dict[Body, bytes] = {}
        self._size_bytes = 0

    def add(self, *bodies: Body) -> None:
        """Propose bodies together with the others of this event."""
        self._waiting |= dict.fromkeys(bodies)

    def gather(self, effects: Iterable[RoleEffect]) -> list[RoleEffect]:
        """Put sealed answers that a coordinator proposes into common records; give the rest."""
        rest: list[RoleEffect] = []
        for effect in effects:
            match effect:
                case Propose(body=Commits(commits=commits)):
                    self._sealed += commits
                case _:
                    rest.append(effect)
        return rest

    def take(self) -> dict[Body, bytes]:
        """Give what waits with the signed records, in the order of proposing."""
        for first in range(0, len(self._sealed), COMMITS_MAX):
            self.add(Commits(commits=tuple(self._sealed[first : first + COMMITS_MAX])))
        self._sealed = []
        if not self._waiting:
            return {}
        bodies, self._waiting = list(self._waiting), {}
        fresh = [body for body in bodies if body not in self._signed]
        records = [encode(record) for record in sign_records(self._signer, fresh)]
        made = dict(zip(fresh, records, strict=True))
        taken = {body: made.get(body) or self._signed[body] for body in bodies}
        self._remember(made)
        return taken

    def _remember(self, made: dict[Body, bytes]) -> None:
        self._signed |= made
        self._size_bytes += sum(map(len, made.values()))
        while self._size_bytes > REMEMBERED_BYTES_MAX:
            oldest = next(iter(self._signed))
            self._size_bytes -= len(self._signed.pop(oldest))
