"""What the owner of a node lets it do, asked and said."""

from collections.abc import Callable

import trio
from msgspec.structs import replace

from ambientd.api.lending import notes_on
from ambientd.api.operations import OperationError
from ambientd.api.owner_standing import OwnerCaps, OwnerStanding
from ambientd.api.owner_values import OwnerReply, Pause, Resume, SetOwner, ShowOwner
from ambientd.config.options import Config
from ambientd.config.owner_terms import OwnerTerms, check_terms
from ambientd.errors import ConfigError, StoreError
from ambientd.ledger.events import NodeOffered
from ambientd.model.base import NodeId
from ambientd.model.offer import Closed
from ambientd.runtime.service import Parts

TOLD_S = 3.0
"""For how long an answer waits until the log has what was said; it is heeded here at once."""


class Owning:
    """Answers `owner`, `pause` and `resume`."""

    def __init__(
        self, node: NodeId, parts: Parts, classes: tuple[str, ...], config: Config
    ) -> None:
        self._id = node
        self._parts = parts
        self._classes = classes
        self._config = config

    @property
    def standing(self) -> OwnerStanding:
        """Give whether the node takes work, and why not."""
        owner = self._parts.owner
        now = owner.standing
        return OwnerStanding(
            closed=now.closed.name.lower(),
            text=now.text,
            until_ms=now.until_ms,
            told=self._is_told(),
            caps=self._caps,
        )

    @property
    def _caps(self) -> OwnerCaps:
        owner, terms = self._parts.owner, self._parts.owner.terms
        return OwnerCaps(
            cpu_percent=terms.cpu_percent,
            capacity=owner.capacity,
            memory_bytes_max=terms.memory_bytes_max,
            hours=terms.hours,
            time_zone=owner.seen.zone if terms.hours else "",
            on_battery=terms.on_battery,
            on_metered=terms.on_metered,
            refuses=self._refuses,
            paused=terms.paused,
        )

    @property
    def _refuses(self) -> tuple[str, ...]:
        """Give the classes it takes none of: those it joined with, until its owner says others."""
        entry, refuses = self._parts.node.ledger.node(self._id), self._parts.owner.terms.refuses
        if refuses is not None:
            return refuses
        return () if entry is None else entry.profile.refuses

    async def show(self, _: ShowOwner) -> OwnerReply:
        """Show what the owner lets the node do."""
        owner, terms = self._parts.owner, self._parts.owner.terms
        return OwnerReply(
            standing=self.standing,
            running=self._parts.node.slots_in_hand,
            cpu_percent=terms.cpu_percent,
            memory_bytes_max=terms.memory_bytes_max,
            hours=terms.hours,
            time_zone=owner.seen.zone,
            on_battery=terms.on_battery,
            on_metered=terms.on_metered,
            metered_links=terms.metered_links,
            refuses=self._refuses,
            paused=terms.paused,
            paused_until_ms=terms.paused_until_ms,
            capacity=owner.capacity,
            inputs_kept_ms=self._config.retention.inputs_ms,
            outputs_kept_ms=self._config.retention.outputs_ms,
            notes=notes_on(terms, self._config, owner.seen.absent_links),
        )

    async def change(self, request: SetOwner) -> OwnerReply:
        """Take the owner's word, on disk first, and heed it at once."""
        named = {
            name: value
            for name in request.__struct_fields__
            if (value := getattr(request, name)) is not None
        }
        unknown = sorted(set(request.refuses or ()) - set(self._classes))
        if unknown:
            msg = f"this cluster has no class {unknown[0]!r}"
            raise OperationError("invalid", msg, f"it has {', '.join(self._classes)}")
        return await self._say(replace(self._parts.owner.terms, **named))

    async def pause(self, request: Pause) -> OwnerReply:
        """Take no more work."""
        until_ms = self._parts.now() + request.for_ms if request.for_ms else 0
        terms = self._parts.owner.terms
        return await self._say(
            replace(terms, paused=True, paused_until_ms=until_ms, stops=request.stops)
        )

    async def resume(self, _: Resume) -> OwnerReply:
        """Take work again."""
        terms = self._parts.owner.terms
        return await self._say(replace(terms, paused=False, paused_until_ms=0, stops=False))

    async def _say(self, terms: OwnerTerms) -> OwnerReply:
        try:
            check_terms(terms)
        except ConfigError as error:
            raise OperationError("invalid", str(error)) from error
        async with self._parts.news.listen(self._concerns()) as news:
            try:
                await self._parts.owner.say(terms, self._parts.pump.post)
            except StoreError as error:
                raise OperationError("store", str(error)) from error
            with trio.move_on_after(TOLD_S):
                while not self._is_told():
                    await news.receive()
        return await self.show(ShowOwner())

    def _concerns(self) -> Callable[[object], bool]:
        def is_own(told: object) -> bool:
            event = getattr(told, "event", None)
            return isinstance(event, NodeOffered) and event.node == self._id

        return is_own

    def _is_told(self) -> bool:
        """Tell whether the log has what the owner wants."""
        state, wish = self._parts.node.ledger, self._parts.owner.wish
        entry = state.node(self._id)
        refuses = wish.refuses
        return (
            entry is not None
            # A device that is too hot is closed, whatever its owner wants.
            and entry.closed in {wish.closed, Closed.HOT}
            and wish.memory_bytes_max == entry.memory_bytes_max
            and (refuses is None or refuses == entry.profile.refuses)
        )
