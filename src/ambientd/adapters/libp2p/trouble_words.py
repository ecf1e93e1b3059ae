"""What the log says of each kind of trouble with peers, for whoever reads it."""

from collections.abc import Mapping
from types import MappingProxyType

_STREAMS = {
    "bandwidth": "a sample of the bandwidth",
    "blob": "a blob",
    "circuit": "to bring a connection that it carries",
    "dht": "where others are",
    "frames": "a link",
    "look": "how this node sees it",
    "relay": "to be carried by this relay",
}
"""What nodes of the cluster, and no others, may open a stream for."""

_HANDLED = {**_STREAMS, "join": "to join"}

TROUBLE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **{
            f"{name}_from_stranger": f"a node that is not of the cluster wants {what}; refused"
            for name, what in _STREAMS.items()
        },
        **{
            f"{name}_handler_raised": f"answering a peer that wants {what} failed; the node goes on"
            for name, what in _HANDLED.items()
        },
        "bad_frame": "a peer sent what is no frame; its connection was closed",
        "bandwidth_failed": "the bandwidth to a peer was not measured this time",
        "bandwidth_over_budget": "a peer asked for a larger sample than it has left today; refused",
        "blob_busy": "a peer asked for more blobs at once than this node serves; refused",
        "blob_failed": "a blob from a peer broke off; others that have it are asked",
        "blob_late": "a peer did not give a blob in time; others that have it are asked",
        "blob_refused": "a peer gave no blob, or another than was asked for; others are asked",
        "blob_serving_late": "a peer took a blob too slowly; it was left",
        "buffers_overrun": "a peer sent more than is read of it; its connection was closed",
        "circuit_failed": "a relay brought a connection that came to nothing; another is tried",
        "circuit_of_another": "a relay brought another node than it named; its circuit was ended",
        "close_raised": "closing a connection failed; the node goes on",
        "connection_raised": "handling a connection failed; the node goes on",
        "connections_full": "more nodes connected than this one has slots for; one was let go",
        "dht_failed": "a peer did not say where others are; the next one is asked",
        "dht_over_rate": "a peer asks too often where others are; some of it is not answered",
        "dht_unsigned": "an address was dropped that its node has not signed",
        "dialler_raised": "dialling a peer failed in an unknown way; the node goes on",
        "event_raised": "telling that a peer has gone failed; the node goes on",
        "frame_not_queued": "a message was dropped: its peer is away, or reads too slowly",
        "frames_over_rate": "a peer sends faster than it may; it is read more slowly",
        "gossip_asked_too_much": "a peer asked for more gossip again than it is owed; cut short",
        "gossip_author_over_rate": "a node says more by gossip than it may; some was dropped",
        "gossip_bad_message": "gossip of a wrong shape was dropped",
        "gossip_from_stranger": "gossip by a node that is not of the cluster was dropped",
        "gossip_heartbeat_raised": "a beat of gossip failed; the next one follows",
        "gossip_malformed": "a peer's gossip does not read; its connection was closed",
        "gossip_not_read": "gossip came faster than this node takes it in; some was dropped",
        "gossip_over_rate": "a peer forwards gossip faster than it may; some was dropped",
        "gossip_push_raised": "taking in gossip failed; it was dropped",
        "gossip_raised": "reading a peer's gossip failed in an unknown way; the node goes on",
        "gossip_stream_refused": "a peer that may not, or not so often, opened gossip; refused",
        "gossip_task_raised": "a part of gossip failed; the node goes on",
        "gossip_too_large": "gossip that is too large was dropped",
        "gossip_unsigned": "a peer brought gossip that its author has not signed; it was dropped",
        "handshake_failed": "a connection came to nothing before its key was shown",
        "handshakes_full": "too many connections have shown no key; one was let go",
        "join_late": "a node that asked to join was not answered in time",
        "join_over_rate": "more ask to join than this node answers; some were not",
        "link_not_offered": "a peer connected and opened no link in time; it was let go",
        "link_not_opened": "a peer takes no link: it may not know this node yet, or be busy",
        "link_raised": "a link failed in an unknown way; the node goes on",
        "link_wrong_way": "a peer opened a link that was not its to open; it was let go",
        "look_failed": "a peer did not say how it sees this node",
        "peer_connections_full": "a peer connects again and again; its oldest were closed",
        "piece_not_asked": "a peer's question about a blob does not read; its stream was closed",
        "publish_queue_full": "gossip of this node's own was dropped: too much waits already",
        "publish_raised": "sending gossip failed; it was dropped",
        "publish_too_large": "gossip of this node's own is too large; it was not sent",
        "publish_unknown_topic": "gossip of this node's own has an unknown topic; it was not sent",
        "relay_full": "more ask to be carried than this relay may; refused",
        "slow_peer": "a peer has not read for too long; its link was closed",
        "stranger_raised": "answering a stranger failed; the node goes on",
        "strangers_full": "too many strangers at once; the oldest of one address was let go",
        "stream_handler_raised": "answering a peer failed; the node goes on",
        "streams_full": "a peer opened more streams than it may; refused",
        "subscribe_raised": "asking for gossip failed; the node hears less of others",
        "unsubscribe_raised": "asking for no more gossip failed; it is heard all the same",
        "window_overrun": "a peer sent beyond its window; its connection was closed",
    }
)
"""Each kind says what happened and what became of it; the log adds who, how often and the error."""
