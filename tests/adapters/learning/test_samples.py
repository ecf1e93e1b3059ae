import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters.learning import samples
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
    for name in ("a.npz", "a.csv", "a"):
        found = samples.read(name, tmp_path)
        assert np.allclose(found.inputs, pixels / 255)
        assert list(found.labels) == [0, 1]


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


def test_an_array_that_unpacks_to_more_than_it_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "BYTES_MAX", 1_000_000)
    file = io.BytesIO()
    np.savez_compressed(file, inputs=np.zeros((1000, 1001)), labels=np.zeros(1000, dtype=int))
    assert len(file.getvalue()) < 20_000
    assert "claim another size" in refused(tmp_path / "a.npz", file.getvalue())


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
