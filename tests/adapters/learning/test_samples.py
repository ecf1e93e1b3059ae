import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters import parquet_table
from ambientd.adapters.learning import png, samples
from ambientd.errors import ConfigError


def test_the_digits_come_along() -> None:
    found = samples.read("digits")
    assert found.inputs.shape == (1797, 64)
    assert (found.inputs.min(), found.inputs.max()) == (0, 1)
    assert sorted(set(found.labels)) == list(range(10))


def test_parts_hold_every_sample_once_and_are_unlike_one_another() -> None:
    whole = samples.read("digits")
    parts = [samples.read(f"digits:{number}/10") for number in range(1, 11)]
    rows = sorted(row.tobytes() for part in parts for row in part.inputs)
    assert rows == sorted(row.tobytes() for row in whole.inputs)
    shares = [np.bincount(part.labels, minlength=10) / len(part) for part in parts]
    assert max(share.max() for share in shares) > 0.3
    assert [len(part) for part in parts] == [
        *(len(samples.part_of(whole, number, 10)) for number in range(1, 11)),
    ]


def test_a_fifth_is_held_out_and_never_trained_on() -> None:
    whole = samples.Samples(np.arange(50, dtype=np.float32)[:, None], np.zeros(50, dtype=np.int64))
    training, held_out = samples.split(whole)
    assert len(held_out) == 10
    assert not set(training.inputs.ravel()) & set(held_out.inputs.ravel())
    assert len(training) == 40


def test_one_table_reads_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    pixels = np.array([[0, 255, 51, 102], [255, 0, 0, 204]], dtype=np.uint8)
    labels = np.array([0, 1])
    np.savez(tmp_path / "a.npz", inputs=pixels, labels=labels)
    lines = ["a,label,b,c,d", "0,0,1,0.2,0.4", "1,1,0,0,0.8"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    for label, row in zip(labels, pixels, strict=True):
        (tmp_path / "a" / str(label)).mkdir(parents=True)
        data = b"P5\n2 2\n255\n" + row.tobytes()
        (tmp_path / "a" / str(label) / "picture.pgm").write_bytes(data)
        (tmp_path / "b" / str(label)).mkdir(parents=True)
        (tmp_path / "b" / str(label) / "picture.PNG").write_bytes(png_of(row.reshape(2, 2, 1)))
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    columns = {"a": [0.0, 1], "label": labels, "b": [1.0, 0], "c": [0.2, 0], "d": [0.4, 0.8]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    for name in ("a.npz", "a.csv", "a", "b", "a.parquet"):
        found = samples.read(name, tmp_path)
        assert np.allclose(found.inputs, pixels / 255)
        assert list(found.labels) == [0, 1]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(pixels: np.ndarray, kinds: Sequence[int] = (), head: bytes | None = None) -> bytes:
    """Write a PNG: each row filtered by its kind, as an encoder chooses them."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows, above = [], np.zeros(width * channels, dtype=int)
    for number, row in enumerate(pixels.reshape(height, -1).astype(int)):
        left = np.concatenate([np.zeros(channels, dtype=int), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, dtype=int), above[:-channels]])
        near = np.stack([left, above, corner])
        best = np.abs(near - (left + above - corner)).argmin(axis=0)
        paeth = np.take_along_axis(near, best[None], axis=0)[0]
        guesses = (0 * row, left, above, (left + above) // 2, paeth)
        chosen = kinds[number % len(kinds)] if kinds else 0
        rows.append(bytes([chosen]) + ((row - guesses[chosen]) % 256).astype(np.uint8).tobytes())
        above = row
    head = head or struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"tEXt", b"a note"), chunk(b"IDAT", body), chunk(b"IEND", b""))
    )


SIDE = st.integers(1, 6)


@given(data=st.data(), channels=st.integers(1, 4), height=SIDE, width=SIDE)
def test_a_png_reads_back_whatever_its_rows_are_filtered_by(
    data: st.DataObject, channels: int, height: int, width: int
) -> None:
    size = height * width * channels
    raw = data.draw(st.binary(min_size=size, max_size=size))
    pixels = np.frombuffer(raw, dtype=np.uint8).reshape(height, width, channels)
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    shown = pixels[:, :, : {1: 1, 2: 1, 3: 3, 4: 3}[channels]]
    assert (png.read(png_of(pixels, kinds), 1 << 16) == shown.reshape(-1)).all()


def test_a_png_that_is_none_is_refused() -> None:
    good = png_of(np.zeros((3, 4, 1), dtype=np.uint8))
    heads = [
        struct.pack(">2I5B", *size, *kind)
        for size, kind in (
            ((4, 4), (8, 0, 0, 0, 0)), ((4, 2), (8, 0, 0, 0, 0)), ((4, 3), (16, 0, 0, 0, 0)),
            ((4, 3), (8, 3, 0, 0, 0)), ((4, 3), (8, 0, 0, 0, 1)), ((0, 3), (8, 0, 0, 0, 0)),
            ((1 << 31, 1 << 31), (8, 0, 0, 0, 0)), ((300, 300), (8, 0, 0, 0, 0)),
        )
    ]  # fmt: skip
    bad = [png_of(np.zeros((3, 4, 1), dtype=np.uint8), head=head) for head in heads]
    bad += [good[:-12], good[:20], good[:40] + b"x" + good[41:], b"", b"GIF89a"]
    bad.append(png_of(np.zeros((3, 4, 1), dtype=np.uint8)).replace(b"IHDR", b"JHDR"))
    for data in bad:
        with pytest.raises(
            ValueError, match=r"PNG|size|channel|large|unpacked|pixels|checksum|early"
        ):
            png.read(data, 1 << 16)


@given(data=st.binary(max_size=100), at=st.integers(0, 80))
def test_no_bytes_get_past_the_reader_of_pictures(data: bytes, at: int) -> None:
    good = png_of(np.arange(12, dtype=np.uint8).reshape(3, 4, 1))
    changed = good[:at] + data + good[at + len(data) :]
    with contextlib.suppress(ValueError):
        assert len(png.read(changed, 1 << 16)) <= 1 << 16


def test_a_parquet_file_that_is_no_table_of_numbers_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    assert "Parquet" in refused(path, b"no parquet")
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0]}), file)
    assert "no column is `label`" in refused(path, file.getvalue())
    for columns in (
        *({"a": [1.0]}, {"label": [1]}, {"a": ["x"], "label": [1]}, {"a": [1.0], "label": [-1]}),
        *({"a": [1.0, None], "label": [1, 2]}, {"a": [1.0], "label": [0.5]}),
        {"a": [float("nan")], "label": [1]},
    ):
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
        refused(path, file.getvalue())


def test_a_parquet_file_of_few_bytes_and_many_numbers_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(samples, "BYTES_MAX", 1 << 21)
    monkeypatch.setattr(parquet_table, "BATCH_BYTES", 1 << 16)
    rows = 16_384
    columns = {"label": np.ones(rows, dtype=int)} | {str(n): np.zeros(rows) for n in range(64)}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert path.stat().st_size < 1 << 16
    unpacked: list[int] = []
    batches = pyarrow.parquet.ParquetFile.iter_batches

    def counted(file: object, batch_size: int) -> Iterator[Any]:
        for batch in batches(file, batch_size):
            unpacked.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", counted)
    assert "more than is read" in refused(path, path.read_bytes())
    assert not unpacked, "what it says of itself is too much"
    pyarrow.parquet.write_table(pyarrow.table(columns).slice(0, 2_000), path)
    assert len(samples.read(str(path))) == 2_000
    assert max(unpacked) < 1 << 17


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        samples.read(str(path))
    assert path.name in str(caught.value) or str(path.parent) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "label", "a,b\n1,2", "a,label\n1", "a,label\n1,2,3", "a,label\nx,1", "a,label\n1,x"),
        *("a,label\n1,-1", "a,label\n1,256", "a,label\nnan,1", "a,label\ninf,1", "a,label\n1e99,1"),
        "a,label\n1000001,1",
        *('a,label\n"1,1', "a,label\n1,1\0", "label\n1", "a,label\n1," + "9" * 5000),
        "label," + "a" * (1 << 21),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    refused(tmp_path / "a.csv", text.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2", "no column is `label`"),
        ("a,label\n", "no row lies below"),
        ("a,label\n1,0\nnan,1\n", "sample 2 holds something that is not a number"),
        ("a,label\n1,0\n1e400,1\n", "sample 2 holds something that is not a number"),
    ],
)
def test_a_table_is_refused_for_what_is_wrong_with_it(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path / "a.csv", text.encode())


def test_a_table_from_a_spreadsheet_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbflabel,a\r\n1,0.5\r\n")
    found = samples.read("a.csv", tmp_path)
    assert (found.inputs.tolist(), found.labels.tolist()) == ([[0.5]], [1])


def packed(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    good = np.zeros((3, 2))
    labels = np.zeros(3, dtype=int)
    path = tmp_path / "a.npz"
    for data in (
        *(b"", b"PK\3\4", packed(inputs=good), packed(labels=labels)),
        packed(inputs=good, labels=np.zeros(2, dtype=int)),
        packed(inputs=good, labels=np.zeros(3)),
        packed(inputs=good, labels=labels - 1),
        packed(inputs=good, labels=labels + 256),
        packed(inputs=good[:, :0], labels=labels),
        packed(inputs=good[:0], labels=labels[:0]),
        packed(inputs=good.astype(complex), labels=labels),
        packed(inputs=good * np.nan, labels=labels),
        packed(inputs=np.array([["a"], ["b"], ["c"]]), labels=labels),
    ):
        refused(path, data)
    assert "numbers" in refused(path, packed(inputs=np.array([{}] * 3), labels=labels))
    assert "ascontiguousarray" in refused(path, packed(inputs=np.ones((2, 3)).T, labels=labels))
    assert "labels are no numbers but bool" in refused(path, packed(inputs=good, labels=labels > 0))
    said = "here are 3 x 2 of numbers and 2 of labels"
    assert said in refused(path, packed(inputs=good, labels=labels[:2]))


def test_an_array_that_unpacks_to_more_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "BYTES_MAX", 1_000_000)
    file = io.BytesIO()
    np.savez_compressed(file, inputs=np.zeros((1000, 1001)), labels=np.zeros(1000, dtype=int))
    assert len(file.getvalue()) < 20_000
    assert "claim another size" in refused(tmp_path / "a.npz", file.getvalue())


def test_a_header_that_is_huge_itself_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("inputs.npy", "labels.npy"):
            archive.writestr(name, b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 24) + bytes(1 << 24))
    assert len(file.getvalue()) < 1 << 16
    read: list[int] = []
    unpacked = zipfile.ZipExtFile.read

    def counted(part: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        data = unpacked(part, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    assert "another version" in refused(tmp_path / "a.npz", file.getvalue())
    assert sum(read) < 1 << 10


def test_a_header_that_claims_a_huge_array_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("inputs.npy", "labels.npy"):
            header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
            header = header.ljust(117) + b"\n"
            body = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
            archive.writestr(name, body)
    refused(tmp_path / "a.npz", file.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"P5", b"P5\n2 2\n255\n123", b"P5\n2 2\n255\n12345", b"P2\n2 2\n255\n1234"),
        *(b"P5\n2 2\n65535\n1234", b"P5\n-2 -2\n255\n1234", b"P5\n99999 99999\n255\n1234"),
        *(b"P5\n999999999999 1\n255\n1", b"P5\n# a\n2 2\n255\n1234", b"P5\n0 0\n255\n"),
        b"P5\n2 2\n255\n" + bytes(1 << 21),
    ],
)
def test_a_picture_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pictures" / "one").mkdir(parents=True)
    (tmp_path / "pictures" / "one" / "a.pgm").write_bytes(data)
    with pytest.raises(ConfigError, match="pictures"):
        samples.read("pictures", tmp_path)


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_get_past_the_readers(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("data")
    for name in ("a.csv", "a.npz"):
        refused(folder / name, data)


@pytest.mark.parametrize(
    "source",
    [
        "",
        ":1/2",
        "digits:0/3",
        "digits:4/3",
        "digits:1/1001",
        "digits:1/0",
        "digits:",
        "a.txt",
        "/no",
    ],
)
def test_a_source_that_names_nothing_is_refused(source: str) -> None:
    with pytest.raises(ConfigError):
        samples.read(source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("digits:1/0", "say a part between 1/1 and 1/1"),
        ("digits:1/1001", "say a part between 1/1000 and 1000/1000"),
        ("digits:x", "digits:x: data are a .csv, .npz or .parquet file, a folder, or digits:K/N"),
    ],
)
def test_a_part_that_is_none_is_answered_with_one_that_is(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        samples.read(source)


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        samples.read("nope.csv", tmp_path)
    assert str(refused.value) == f"{tmp_path}/nope.csv: cannot be read (No such file or directory)"
