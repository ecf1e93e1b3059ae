"""Names for libp2p's untyped objects, so that signatures say which one they mean."""

from typing import Any, TypeAlias

Host: TypeAlias = Any
"""A `libp2p.host.basic_host.BasicHost`."""

Connection: TypeAlias = Any
"""A `libp2p.network.connection.swarm_connection.SwarmConn`."""

SecuredConnection: TypeAlias = Any
"""A `libp2p.security.secure_session.SecureSession`."""

Stream: TypeAlias = Any
"""A `libp2p.network.stream.net_stream.NetStream`."""

Message: TypeAlias = Any
"""A `libp2p.pubsub.pb.rpc_pb2.Message`."""

Manager: TypeAlias = Any
"""A `libp2p.tools.anyio_service.TrioManager`."""

Foreign: TypeAlias = Any
"""Anything else of libp2p's."""
