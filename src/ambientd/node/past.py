"""What state and log tell of a founder's key whose folder is empty (protocols/05 section 4)."""

from ambientd.errors import RemoteProtocolError
from ambientd.ledger.apply import decode_record
from ambientd.ledger.entries import tip_key
from ambientd.ledger.seat_entries import UsedTip
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId


class FoundersPast:
    """Answers what the log asks of its host (`first_start.Past`)."""

    def __init__(self, ledger: LedgerState, own: NodeId) -> None:
        self._ledger = ledger
        self._own = own

    def is_in_state(self) -> bool:
        """Tell whether the key has spoken as a member, or a block of its own has counted."""
        ledger, own = self._ledger, self._own
        founders = (each for each in ledger.genesis.members if each.node == own)
        tips = (ledger.get(tip_key(founder.beacon_tip)) for founder in founders)
        has_proposed = any(isinstance(tip, UsedTip) and tip.count > 0 for tip in tips)
        return has_proposed or any(ledger.last_word_ms(topic, own) for topic in Topic)

    def is_own(self, record: bytes) -> bool:
        """Tell whether the key has signed a record."""
        try:
            return decode_record(record).author == self._own
        except RemoteProtocolError:
            return False
