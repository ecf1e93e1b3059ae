"""The peg's book on disk."""

from pathlib import Path
from typing import Final

from ambientd.adapters.book_file import BookFile, BookKind
from ambientd.roles.pegging.book import PegBook, decode_book, encode_book

_KIND: Final = BookKind(
    magic=b"AMBPBK\x00\x01",
    empty=PegBook,
    encode=encode_book,
    decode=decode_book,
    name="book of the peg",
    contents="the peg's book",
    contents_in="the peg's book",
    danger="sign a coin away twice",
)


class PegFile(BookFile[PegBook]):
    """What a member has pledged to sign of the peg's payments."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _KIND)
