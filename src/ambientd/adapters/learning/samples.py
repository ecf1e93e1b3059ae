"""A participant's data: where it lies, read with caps, and split as asked.

    digits             the 1,797 digits of 8 x 8 that come along (UCI, by scikit-learn)
    data.csv           a header, the column `label`, numbers in all others
    data.npz           arrays `inputs` and `labels`
    data.parquet       the column `label`, numbers in all others (needs pyarrow)
    pictures/          a folder for each class, with PGM or PNG pictures of one size in it
    PLACE:3/10         the third of ten parts of it, unlike one another: Dirichlet(1) by class

What is read is the owner's own, and yet a file from somewhere: nothing in it is executed, and no
size that it claims is believed.
"""

import csv
import lzma
import math
import re
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.adapters.learning import png
from ambientd.adapters.parquet_table import read_parquet
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError

BYTES_MAX: Final = 1 << 30
SAMPLES_MAX: Final = 1 << 20
INPUTS_MAX: Final = 1 << 16
CLASSES_MAX: Final = 256
PARTS_MAX: Final = 1_000
VALUE_MAX: Final = 1_000_000
HELD_OUT: Final = 5
"""One sample in five is held out, to score models with."""

_PICTURES: Final = frozenset({".pgm", ".png"})
_LINE_MAX: Final = 1 << 20
_PICTURE_BYTES_MAX: Final = 1 << 20
_SOURCE: Final = re.compile(r"(.+?)(?::(\d{1,4})/(\d{1,4}))?", re.ASCII)
_DIGITS: Final = Path(__file__).with_name("digits.npz")


@dataclass(frozen=True, slots=True)
class Samples:
    """Numbers of each sample, and its class."""

    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, places: npt.NDArray[np.int64]) -> "Samples":
        """Give some of the samples."""
        return Samples(self.inputs[places], self.labels[places])


def _shape(array: npt.NDArray[np.generic]) -> str:
    return " x ".join(map(str, array.shape)) or "one"


def _checked(
    source: str, inputs: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]
) -> Samples:
    def refuse(fault: str) -> ConfigError:
        return ConfigError(f"{source}: {fault}")

    if inputs.ndim < 2 or labels.ndim != 1 or len(inputs) != len(labels):
        raise refuse(
            "rows of numbers are needed, and one label for each; here are "
            f"{_shape(inputs)} of numbers and {_shape(labels)} of labels"
        )
    flat = inputs.reshape(len(inputs), -1) if len(inputs) else inputs
    if not 0 < len(flat) <= SAMPLES_MAX or not 0 < flat.shape[1] <= INPUTS_MAX:
        raise refuse(f"1 to {SAMPLES_MAX} samples of 1 to {INPUTS_MAX} numbers are read")
    if flat.nbytes > BYTES_MAX:
        raise refuse(f"its samples take more than {BYTES_MAX} bytes")
    if flat.dtype.kind not in "fiu" or labels.dtype.kind not in "iu":
        raise refuse("samples are numbers, and labels are whole numbers")
    with np.errstate(over="ignore"):
        numbers = flat.astype(np.float32)
    finite = np.isfinite(numbers)
    if not finite.all():
        row = int(finite.all(axis=1).argmin()) + 1
        raise refuse(f"sample {row} holds something that is not a number, or one beyond all bounds")
    if float(np.abs(numbers).max()) > VALUE_MAX:
        raise refuse(f"a sample holds a number beyond {VALUE_MAX}; scale the data")
    classes = labels.astype(np.int64)
    if classes.min() < 0 or classes.max() >= CLASSES_MAX:
        raise refuse(f"labels lie between 0 and {CLASSES_MAX - 1}")
    return Samples(numbers, classes)


# ---- readers


def _scaled(inputs: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Bytes stand for 0 to 1, as in pictures."""
    return inputs.astype(np.float32) / 255 if inputs.dtype == np.uint8 else inputs


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[np.generic]:
    """Read one array; the size in its header must be that of the bytes that follow."""
    with archive.open(f"{name}.npy") as file:
        # Headers of later versions claim up to 4 GiB, which NumPy reads before it looks at them.
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} are an array of another version than 1.0")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "fiu":
            raise ValueError(f"{name} are no numbers but {dtype}")
        if is_fortran:
            raise ValueError(f"{name} lie column by column: save numpy.ascontiguousarray of them")
        body = file.read(BYTES_MAX + 1)
        if len(body) > BYTES_MAX or math.prod(shape) * dtype.itemsize != len(body):
            raise ValueError(f"{name} claim another size than they have")
        return np.frombuffer(body, dtype=dtype).reshape(shape)


def _arrays(path: Path) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    with zipfile.ZipFile(path) as archive:
        return _array(archive, "inputs"), _array(archive, "labels")


def _read_npz(path: Path) -> Samples:
    try:
        inputs, labels = _arrays(path)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        ValueError,
        LookupError,
        EOFError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise ConfigError(
            f"{path}: no file of NumPy with the arrays `inputs` and `labels` ({error})"
        ) from None
    return _checked(str(path), _scaled(inputs), labels)


def _read_csv(path: Path) -> Samples:
    rows: list[array[float]] = []
    labels: list[int] = []
    number = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(iter(lambda: lines.readline(_LINE_MAX), ""), strict=True)
            header = next(reader, [])
            if "label" not in header:
                raise ValueError("no column is `label`")
            place = header.index("label")
            for number, row in enumerate(reader, start=2):
                if len(row) != len(header):
                    raise ConfigError(
                        f"{path}, line {number}: {len(row)} fields instead of {len(header)}"
                    )
                if 8 * (len(rows) + 1) * len(header) > BYTES_MAX or len(rows) == SAMPLES_MAX:
                    raise ConfigError(f"{path}, line {number}: more than is read of a table")
                labels.append(int(row.pop(place)))
                rows.append(array("d", map(float, row)))
    except (ValueError, csv.Error) as error:
        raise ConfigError(
            f"{path}, line {max(1, number)}: the first line names the columns, one of them "
            f"`label`; all others hold numbers ({error})"
        ) from None
    if labels and not 0 <= min(labels) <= max(labels) < CLASSES_MAX:
        raise ConfigError(f"{path}: labels lie between 0 and {CLASSES_MAX - 1}")
    if not labels:
        raise ConfigError(f"{path}: no row lies below the names of the columns")
    return _checked(str(path), np.array(rows), np.array(labels, dtype=np.int64))


def _pgm(path: Path) -> npt.NDArray[np.uint8]:
    """Read a binary PGM picture of one byte a pixel."""
    with path.open("rb") as file:
        data = file.read(_PICTURE_BYTES_MAX + 1)
    fields = data[:64].split(maxsplit=4)
    if len(data) > _PICTURE_BYTES_MAX or len(fields) < 4 or fields[0] != b"P5":
        raise ConfigError(f"{path}: no binary PGM picture (P5) of up to a megabyte")
    if not all(field.isdigit() and len(field) < 6 for field in fields[1:4]):
        raise ConfigError(f"{path}: a PGM picture begins with P5, width, height, 255")
    width, height = int(fields[1]), int(fields[2])
    pixels = data[len(data) - width * height :]
    # The header is as short as it can be: three numbers and a single blank after each.
    if fields[3] != b"255" or data != b"P5\n%d %d\n255\n" % (width, height) + pixels:
        raise ConfigError(f"{path}: its header is not `P5 {width} {height} 255`, or pixels lack")
    return np.frombuffer(pixels, dtype=np.uint8)


def _picture(path: Path) -> npt.NDArray[np.uint8]:
    if path.suffix.lower() == ".pgm":
        return _pgm(path)
    with path.open("rb") as file:
        data = file.read(_PICTURE_BYTES_MAX + 1)
    if len(data) > _PICTURE_BYTES_MAX:
        raise ConfigError(f"{path}: larger than a megabyte")
    try:
        return png.read(data, INPUTS_MAX)
    except ValueError as error:
        raise ConfigError(f"{path}: no PNG picture that is read here: {error}") from None


def _read_parquet(path: Path) -> Samples:
    try:
        columns = read_parquet(path, SAMPLES_MAX, INPUTS_MAX + 1, BYTES_MAX)
        if "label" not in columns:
            raise ValueError("no column is `label`")
        labels = np.asarray(columns.pop("label"))
        inputs = np.stack([np.asarray(each) for each in columns.values()], axis=1)
    except ValueError as error:
        raise ConfigError(
            f"{path}: no Parquet file with the column `label`, and numbers in all others ({error})"
        ) from None
    return _checked(str(path), inputs, labels)


def _read_folder(path: Path) -> Samples:
    pictures: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    for label, folder in enumerate(classes[:CLASSES_MAX]):
        for file in sorted(each for each in folder.iterdir() if each.suffix.lower() in _PICTURES):
            picture = _picture(file)
            if pictures and len(picture) != len(pictures[0]):
                raise ConfigError(f"{file}: not of the size of the first picture")
            if len(pictures) * len(picture) > BYTES_MAX // 4 or len(pictures) == SAMPLES_MAX:
                raise ConfigError(f"{path}: too many pictures; take fewer or smaller ones")
            pictures.append(picture)
            labels.append(label)
    if not pictures:
        raise ConfigError(f"{path}: no folder of a class with PGM or PNG pictures in it")
    return _checked(str(path), _scaled(np.stack(pictures)), np.array(labels))


def _read_digits(path: Path) -> Samples:
    inputs, labels = _arrays(path)
    return _checked("digits", inputs.astype(np.float32) / 16, labels)


_READERS: Final = MappingProxyType(
    {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet, "/": _read_folder}
)


def _reader(path: Path) -> Callable[[Path], Samples]:
    kind = "/" if path.is_dir() else path.suffix.lower()
    if (reader := _READERS.get(kind)) is None:
        kinds = "a .csv, .npz or .parquet file, a folder, or digits:K/N"
        raise ConfigError(f"{path}: data are {kinds}")
    return reader


# ---- parts


def _chances(label: int, parts: int) -> list[float]:
    """Draw Dirichlet(1): exponential numbers over their sum, from SHA-256."""
    drawn = []
    for part in range(parts):
        digest = tagged("fl-part", label.to_bytes(4, "big"), part.to_bytes(4, "big"))
        uniform = (int.from_bytes(digest[:6], "big") + 1) / (2**48 + 1)
        drawn.append(-math.log(uniform))
    total = sum(drawn)
    return [number / total for number in drawn]


def _shuffled(places: Iterator[int], tag: str) -> list[int]:
    return sorted(places, key=lambda place: tagged(tag, place.to_bytes(8, "big")))


def part_of(samples: Samples, part: int, parts: int) -> Samples:
    """Give one of `parts` parts, no two of which share a sample; each class is split unevenly."""
    kept: list[int] = []
    for label in range(int(samples.labels.max()) + 1):
        places = _shuffled(map(int, np.flatnonzero(samples.labels == label)), "fl-part-order")
        chances = _chances(label, parts)
        start = round(sum(chances[: part - 1]) * len(places))
        end = round(sum(chances[:part]) * len(places)) if part < parts else len(places)
        kept += places[start:end]
    return samples.at(np.array(sorted(kept), dtype=np.int64))


def split(samples: Samples) -> tuple[Samples, Samples]:
    """Give what to train on, and the fifth that is held out."""
    order = _shuffled(iter(range(len(samples))), "fl-held-out")
    held = len(order) // HELD_OUT
    return (
        samples.at(np.array(sorted(order[held:]), dtype=np.int64)),
        samples.at(np.array(sorted(order[:held]), dtype=np.int64)),
    )


def read(source: str, folder: Path | None = None) -> Samples:
    """Read the data that a source names; a relative path lies in the folder.

    Raises:
        ConfigError: saying what is wrong with which file.
    """
    if (found := _SOURCE.fullmatch(source)) is None:
        raise ConfigError(f"{source!r} names no data; say digits, a file or a folder")
    name, *words = found.groups()
    if name == "digits":
        samples = _read_digits(_DIGITS)
    else:
        path = Path(name) if folder is None else folder / name
        try:
            if path.is_file() and path.stat().st_size > BYTES_MAX:
                raise ConfigError(f"{path}: larger than {BYTES_MAX} bytes")
            samples = _reader(path)(path)
        except (OSError, UnicodeDecodeError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise ConfigError(f"{path}: cannot be read ({why})") from None
    if words[0] is None:
        return samples
    part, parts = map(int, words)
    if not 1 <= part <= parts <= PARTS_MAX:
        most = min(max(parts, 1), PARTS_MAX)
        raise ConfigError(f"{source}: say a part between 1/{most} and {most}/{most}")
    return part_of(samples, part, parts)
