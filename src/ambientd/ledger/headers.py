"""The Bitcoin headers that draw who is audited, where blocks cost real work (protocols/03 §10)."""

from ambientd.ledger.audit_entries import BitcoinWindow
from ambientd.ledger.draft import Draft, Reader
from ambientd.ledger.entries import HEADERS_KEY
from ambientd.ledger.events import HeadersTaken
from ambientd.model.genesis import Genesis
from ambientd.model.record import BitcoinHeaders, Record
from ambientd.rules.bitcoin import HEIGHT_MAX, NETWORKS, Network
from ambientd.rules.header_window import Window, extended


def costly_network(genesis: Genesis) -> Network | None:
    """Give the cluster's network, if its blocks can draw."""
    network = NETWORKS.get(genesis.bitcoin_network)
    return network if network is not None and network.is_costly else None


def window_of(reader: Reader) -> Window:
    """Give the headers that are kept."""
    found = reader.get(HEADERS_KEY)
    return Window(found.first, found.headers) if isinstance(found, BitcoinWindow) else Window()


def take(draft: Draft, record: Record, body: BitcoinHeaders) -> str | None:
    """Take headers that continue what is kept, or took more work."""
    author = draft.node(record.author)
    if record.author not in draft.state.members or author is None or author.tombstoned:
        return "only committee members that were never convicted bring headers"
    network = costly_network(draft.state.genesis)
    if network is None:
        return "the blocks of this cluster's Bitcoin network draw nothing"
    if not 0 < body.height <= HEIGHT_MAX - len(body.headers):
        return f"heights are 1 to {HEIGHT_MAX}"
    before = window_of(draft)
    after = extended(before, network, body.height, body.headers)
    if isinstance(after, str):
        return after
    if after != before and after.tip is not None:
        draft.put(HEADERS_KEY, BitcoinWindow(first=after.first, headers=after.headers))
        draft.tell(HeadersTaken(after.tip))
    return None
