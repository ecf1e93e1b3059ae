"""Where a text says that copies lie: the path of a folder, or s3://BUCKET/FOLDER."""

from pathlib import Path
from stat import S_ISDIR

from ambientd.adapters.copy_folder import CopyFolder
from ambientd.errors import UsageError
from ambientd.ports.copies import CopyPlace

S3 = "s3://"


def place_of(text: str) -> CopyPlace:
    """Give the place of copies; raise UsageError or ConfigError for what is none."""
    if not text.startswith(S3):
        return CopyFolder(Path(text))
    from ambientd.adapters.s3_copies import S3Copies  # its price is for those who use it

    return S3Copies(text)


def is_remote(text: str) -> bool:
    """Tell whether a copy lies elsewhere than in a file."""
    return text.startswith(S3)


def copy_of(text: str) -> tuple[CopyPlace, str]:
    """Give the place and the name of one copy; raise UsageError for what names none."""
    if not is_remote(text):
        path = Path(text)
        if not _may_be_a_folder(path.parent):
            msg = f"{path.parent}: there is no such folder; make it, or name a file in another one"
            raise UsageError(msg)
        return place_of(str(path.parent)), path.name
    folder, _, name = text.removeprefix(S3).rpartition("/")
    if not name or not folder:
        raise UsageError(f"{text}: name a copy, as in s3://BUCKET/FOLDER/NAME")
    return place_of(f"{S3}{folder}"), name


def _may_be_a_folder(path: Path) -> bool:
    """Tell whether files may be there, as far as it can be seen from here."""
    try:
        return S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # whoever reads or writes there says what is the matter
