"""The anchor book on disk."""

from pathlib import Path
from typing import Final

from ambientd.adapters.book_file import BookFile, BookKind
from ambientd.roles.anchoring.book import AnchorBook, decode_book, encode_book

_KIND: Final = BookKind(
    magic=b"AMBANC\x00\x01",
    empty=AnchorBook,
    encode=encode_book,
    decode=decode_book,
    name="anchor book",
    contents="the anchors",
    contents_in="the anchors in",
    danger="pay twice for an anchor that is under way",
)


class AnchorFile(BookFile[AnchorBook]):
    """The anchors that a node has signed, and how far each is."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _KIND)
