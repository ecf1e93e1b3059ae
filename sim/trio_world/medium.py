"""What transports in memory talk through: addresses, and the network's weather between them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ambientd.errors import ConfigError
from ambientd.ports.transport import HostPort, NodeId
from sim.network import Network

if TYPE_CHECKING:
    from sim.trio_world.transport import MemoryTransport

FIRST_PORT = 4_400

At = Callable[[int, Callable[[], None]], None]


class Medium:
    """Carries whatever one transport does to another, late, twice or never, as the weather is."""

    def __init__(self, network: Network, at: At, now_ms: Callable[[], int]) -> None:
        self.network = network
        self.carried = 0
        self._at = at
        self._now_ms = now_ms
        self._open: dict[NodeId, MemoryTransport] = {}
        self._ports: dict[HostPort, NodeId] = {}
        self._latest: dict[tuple[NodeId, NodeId], int] = {}
        self._next_port = FIRST_PORT

    def listen(self, transport: "MemoryTransport", wanted: HostPort) -> HostPort:
        """Let a transport be reached; raise ConfigError when somebody else is there."""
        port = wanted.port
        if not port:
            port = self._next_port
            self._next_port += 1
        address = HostPort(wanted.host, port)
        if address in self._ports:
            msg = f"cannot listen on {address}: the port is in use; set transport.listen to another"
            raise ConfigError(msg)
        self._ports[address] = transport.node_id
        self._open[transport.node_id] = transport
        return address

    def leave(self, transport: "MemoryTransport") -> None:
        """Let a transport be reached no more."""
        if self._open.get(transport.node_id) is transport:
            del self._open[transport.node_id]
            self._ports = {at: who for at, who in self._ports.items() if who != transport.node_id}

    def at_address(self, address: HostPort) -> NodeId | None:
        """Give who listens at an address."""
        return self._ports.get(address)

    def carry(self, sender: NodeId, to: NodeId, deed: Callable[["MemoryTransport"], None]) -> bool:
        """Do something to another transport when it arrives there; False when it never will."""
        fair = not (self.network.weather.slow or self.network.weather.duplication)
        copies = self.network.arrivals(sender, to)
        for delay_ms in copies:
            arrives_ms = self._now_ms() + delay_ms
            if fair:  # only in bad weather does a later one overtake
                arrives_ms = max(arrives_ms, self._latest.get((sender, to), 0))
                self._latest[sender, to] = arrives_ms
            self.carried += 1
            self._deliver_at(arrives_ms, to, deed)
        return bool(copies)

    def _deliver_at(
        self, time_ms: int, to: NodeId, deed: Callable[["MemoryTransport"], None]
    ) -> None:
        def deliver() -> None:
            receiver = self._open.get(to)
            if receiver is None:
                return
            if receiver.paused_until > self._now_ms():
                self._deliver_at(receiver.paused_until, to, deed)
            else:
                deed(receiver)

        self._at(time_ms, deliver)
