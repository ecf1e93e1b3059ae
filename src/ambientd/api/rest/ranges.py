"""A part of some bytes, as a caller that goes on with a download asks for it (RFC 9110)."""

import re

from ambientd.ports.http import HttpAnswer

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
CONTENT_TYPE = "application/octet-stream"


def bytes_answer(data: bytes, wanted: str) -> HttpAnswer:
    """Give all bytes, or the one range that is wanted; several ranges at once are all bytes."""
    headers = [("content-type", CONTENT_TYPE), ("accept-ranges", "bytes")]
    found = _ONE_RANGE.fullmatch(wanted.replace(" ", ""))
    if found is None or not any(found.groups()):
        return HttpAnswer(200, data, headers)
    first_text, last_text = found.groups()
    size = len(data)
    if first_text:
        first, last = int(first_text), min(int(last_text or size - 1), size - 1)
    else:
        first, last = max(0, size - int(last_text)), size - 1
    if first > last:
        return HttpAnswer(416, b"", [*headers, ("content-range", f"bytes */{size}")])
    span = ("content-range", f"bytes {first}-{last}/{size}")
    return HttpAnswer(206, data[first : last + 1], [*headers, span])
