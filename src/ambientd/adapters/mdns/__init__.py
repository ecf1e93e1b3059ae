"""Finding members in the same network by multicast DNS (docs/adr/0078-finding-each-other.md)."""

from ambientd.adapters.mdns.discovery import MulticastDns

__all__ = ["MulticastDns"]
