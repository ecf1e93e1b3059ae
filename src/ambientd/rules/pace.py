"""How often words that are in no hurry go into the log: every one makes blocks that all apply.

So in a large cluster they wait for a beat, the same for all by the clock, and travel together.
"""

PROMPT_NODES_MAX = 8
"""Up to so many nodes no word waits."""

BEAT_MS_A_NODE = 40
BEAT_MS_MAX = 4_000

SMALL_NODES_MAX = 32
"""Up to so many nodes all are told of a block at once."""

LAG_MS_MAX = 500
"""And T0 at most: a node asks after 4 T0 of silence if the log has moved (protocols/05 §10)."""


def beat_ms(nodes: int) -> int:
    """Give how far apart the beats of a cluster of so many nodes are; 0 when nothing waits."""
    return 0 if nodes <= PROMPT_NODES_MAX else min(nodes * BEAT_MS_A_NODE, BEAT_MS_MAX)


def next_beat_ms(time_ms: int, nodes: int) -> int:
    """Give the first beat that is not before a time."""
    apart_ms = beat_ms(nodes)
    return -(-time_ms // apart_ms) * apart_ms if apart_ms else time_ms


def lag_ms(nodes: int, t0_ms: int) -> int:
    """Give how much later who only follows may be told of a block; 0 when nobody waits."""
    if nodes <= SMALL_NODES_MAX:
        return 0
    return min(nodes * BEAT_MS_A_NODE // 16, LAG_MS_MAX, t0_ms)
