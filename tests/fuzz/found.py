"""Inputs that were finds once, by the name of the target; beside each what it did."""

FOUND = {
    "log frame": (
        # A header of arrays in arrays: whoever sent it could end the daemon.
        b"\x96\x01" + b"\x91" * 2_000 + b"\x90\xc0\xc0\x90\xc4\x00",
    ),
    "owner's terms": (
        # Text that is no UTF-8: the daemon ended with a trace instead of a word.
        b'{"\xff": true}',
        b'{"time_zone": "\xff"}',
    ),
    "pins": (b"[" * 200_000,),
}
