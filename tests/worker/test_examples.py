"""The reference modules do what their descriptions say, on every engine that is installed."""

import hashlib
import json
import random
import re
import struct
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import pytest

from ambientd.adapters.engines import installed, open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.ports.engine import Engine
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from tests.worker import cnn_training, training

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DEMO = ROOT / "src" / "ambientd" / "cli" / "demo_data"
DIGITS = EXAMPLES / "image-classify" / "digits-100.bin"


@pytest.fixture(scope="module", params=installed())
def engine(request: pytest.FixtureRequest) -> Engine:
    return open_engine(request.param)


def run(engine: Engine, path: Path, data: bytes) -> ExecutionResult:
    outcome = prepare(path.read_bytes())
    assert isinstance(outcome, Prepared), outcome
    result = execute(engine.compile(outcome.module), data, ExecutionLimits(), bytes(32))
    assert isinstance(result, ExecutionResult), result
    return result


def completed(engine: Engine, name: str, data: bytes) -> bytes:
    result = run(engine, EXAMPLES / name, data)
    assert result.kind is OutcomeKind.COMPLETED, (result.reason, result.log)
    return result.output


def shown(name: str) -> str:
    """Give what a module's description says that it prints."""
    text = (EXAMPLES / name / "README.md").read_text()
    block = re.search(r"^prints\n\n```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


# ---- built modules


def test_the_committed_modules_are_those_of_the_list() -> None:
    lines = (EXAMPLES / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {
        path.relative_to(EXAMPLES).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in EXAMPLES.rglob("*.wasm")
    }
    assert found == listed


@pytest.mark.parametrize("name", ["classify.wasm", "digits-100.bin", "digits-100.labels"])
def test_the_packed_copies_are_the_examples_own(name: str) -> None:
    assert (DEMO / name).read_bytes() == (EXAMPLES / "image-classify" / name).read_bytes()


# ---- image-classify, hello-compute, noop


def test_the_classifier_reads_digits_that_it_never_saw(engine: Engine) -> None:
    images, labels = (DEMO / name for name in ("digits-100.bin", "digits-100.labels"))
    result = run(engine, DEMO / "classify.wasm", images.read_bytes())
    assert result.kind is OutcomeKind.COMPLETED
    right = sum(a == b for a, b in zip(result.output, labels.read_bytes(), strict=True))
    assert right >= 93
    assert result.gas < 5_000_000


@pytest.mark.parametrize("data", [b"", b"\1\0\0\0", b"\1\0\0\0" + bytes(65), b"\xff" * 68])
def test_the_classifier_traps_on_input_of_another_length(engine: Engine, data: bytes) -> None:
    result = run(engine, DEMO / "classify.wasm", data)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "unreachable")


def test_the_classifier_takes_no_image_and_many(engine: Engine) -> None:
    assert run(engine, DEMO / "classify.wasm", bytes(4)).output == b""
    many = (5_000).to_bytes(4, "little") + bytes(64 * 5_000)
    assert len(run(engine, DEMO / "classify.wasm", many).output) == 5_000


def test_the_convolutional_network_reads_what_its_description_says(engine: Engine) -> None:
    folder, images = EXAMPLES / "int8-cnn", DIGITS.read_bytes()
    read = completed(engine, "int8-cnn/classify.wasm", images)
    assert read == (folder / "digits-100.output").read_bytes()
    labels = DIGITS.with_suffix(".labels").read_bytes()
    assert sum(a == b for a, b in zip(read, labels, strict=True)) == 99
    assert run(engine, folder / "classify.wasm", images[:-1]).reason == "unreachable"


def test_hello_compute_turns_its_input_into_upper_case_and_logs_the_size(engine: Engine) -> None:
    text = b"Hello, mesh!\n" * 10_000
    result = run(engine, EXAMPLES / "hello-compute" / "hello.wasm", text)
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, text.upper())
    assert result.log == b"130000\n"


def test_noop_costs_next_to_nothing(engine: Engine) -> None:
    result = run(engine, EXAMPLES / "noop" / "noop.wasm", b"")
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, b"")
    assert result.gas < 100


# ---- file-hash


def merkle_root(chunks: list[bytes]) -> bytes:
    """The definition of RFC 9162, section 2.1.1, word for word."""
    if len(chunks) < 2:
        return hashlib.sha256(b"\0" + chunks[0] if chunks else b"").digest()
    split = 1
    while 2 * split < len(chunks):
        split *= 2
    return hashlib.sha256(
        b"\1" + merkle_root(chunks[:split]) + merkle_root(chunks[split:])
    ).digest()


@pytest.mark.parametrize(
    "size", [0, 1, 55, 56, 63, 64, 65, 4_095, 4_096, 4_097, 12_288, 45_057, 131_072]
)
def test_file_hash_gives_the_hash_and_the_merkle_root(engine: Engine, size: int) -> None:
    data = random.Random(size).randbytes(size)
    chunks = [data[at : at + 4_096] for at in range(0, size, 4_096)]
    assert json.loads(completed(engine, "file-hash/hash.wasm", data)) == {
        "bytes": size,
        "chunks": len(chunks),
        "merkle_root": merkle_root(chunks).hex(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_file_hash_prints_what_its_description_shows(engine: Engine) -> None:
    output = completed(engine, "file-hash/hash.wasm", DIGITS.read_bytes())
    assert output.decode() == shown("file-hash")


# ---- csv-stats

CSV = "csv-stats/stats.wasm"
HEADER = "column,count,numbers,min,max,mean,variance\n"


def statistics(engine: Engine, table: str | bytes) -> str:
    return completed(engine, CSV, table.encode() if isinstance(table, str) else table).decode()


def test_csv_stats_prints_what_its_description_shows(engine: Engine) -> None:
    table = (EXAMPLES / "csv-stats" / "sales.csv").read_bytes()
    assert statistics(engine, table) == shown("csv-stats")


def test_csv_stats_groups_by_a_column_and_orders_the_groups(engine: Engine) -> None:
    table = '#group-by city\ncity,x\nZ,1\nA,2\nZ,4\n,7\n"A,""B""",1\n'
    assert statistics(engine, table) == (
        "city," + HEADER + ",x,1,1,7,7,7,\nA,x,1,1,2,2,2,\n"
        '"A,""B""",x,1,1,1,1,1,\nZ,x,2,2,1,4,2.5,4.5\n'
    )


@pytest.mark.parametrize(
    "table",
    [
        "a,b\n1,x\n2,\n",
        "a,b\r\n1,x\r\n2,\r\n",
        "\ufeffa,b\n\n1,x\n\n\n2,",
        '"a","b"\r\n"1","x"\r\n"2",""',
    ],
)
def test_csv_stats_reads_a_table_however_it_is_written(engine: Engine, table: str) -> None:
    assert statistics(engine, table) == HEADER + "a,2,2,1,2,1.5,0.5\nb,1,0,,,,\n"


def test_csv_stats_keeps_commas_quotes_and_line_breaks_inside_quotes(engine: Engine) -> None:
    table = 'n,"a ""b"",\nc"\n1,"x,\r\ny"\n2,"z"\n'
    assert statistics(engine, table) == (HEADER + 'n,2,2,1,2,1.5,0.5\n"a ""b"",\nc",2,0,,,,\n')


@pytest.mark.parametrize(
    ("field", "number"),
    [
        *((text, text) for text in ("0", "7.25", "-3", "999999999999999999.999999999")),
        *(("+5", "5"), (".5", "0.5"), ("5.", "5"), ("-0", "0"), ("007.10", "7.1")),
        *((text, None) for text in ("1e5", " 1", "1 ", "-", ".", "1.2.3", "0x1", "nan", "--1")),
        *((text, None) for text in ("1000000000000000000", "0.0000000001")),
    ],
)
def test_csv_stats_takes_plain_decimals_for_numbers(
    engine: Engine, field: str, number: str | None
) -> None:
    figures = f"1,{number},{number},{number}," if number is not None else "0,,,,"
    assert statistics(engine, f"a\n{field}\n") == f"{HEADER}a,1,{figures}\n"


def expected_line(name: str, values: list[Decimal]) -> str:
    """The figures by Python's decimals, with more digits than any step needs."""
    with localcontext(prec=200):
        count = len(values)
        mean = sum(values) / count
        variance = sum((value - mean) ** 2 for value in values) / (count - 1)
        figures = [min(values), max(values), mean, variance]
        rounded = [
            figure.quantize(Decimal("1e-9"), ROUND_HALF_UP).normalize() for figure in figures
        ]
    return ",".join([name, str(count), str(count), *(f"{value:f}" for value in rounded)]) + "\n"


def test_csv_stats_computes_as_exactly_as_pythons_decimals(engine: Engine) -> None:
    rng = random.Random(4)
    columns = {
        "money": [Decimal(rng.randint(-(10**6), 10**6)).scaleb(-2) for _ in range(400)],
        "wide": [Decimal(rng.randint(-(10**27) + 1, 10**27 - 1)).scaleb(-9) for _ in range(400)],
        "tiny": [Decimal(rng.randint(0, 9)).scaleb(-9) for _ in range(400)],
    }
    rows = zip(*columns.values(), strict=True)
    table = (
        ",".join(columns) + "\n" + "".join(",".join(map("{:f}".format, row)) + "\n" for row in rows)
    )
    assert statistics(engine, table) == HEADER + "".join(
        expected_line(name, values) for name, values in columns.items()
    )


@pytest.mark.parametrize(
    ("table", "log"),
    [
        ("", "line 1: the header line is missing"),
        ('a\n1\n"2\n', "line 3: a quote is opened and never closed"),
        ('a\n"1"2\n', "line 2: text stands behind a closing quote"),
        ('a,b\n"x\ny",1\n1\n', "line 4: the header has another number of fields"),
        ("#sort\na\n", "line 1: the only directive is `#group-by COLUMN`"),
        ("#group-by b\na\n", "line 1: no column has the name that #group-by gives"),
        ("a\n1\0\n", "the input is not text: it has a byte of zero"),
        ("," * 1024 + "\n", "line 1: more than 1024 columns"),
    ],
)
def test_csv_stats_says_where_a_table_is_malformed(engine: Engine, table: str, log: str) -> None:
    result = run(engine, EXAMPLES / CSV, table.encode())
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "exit_code:1")
    assert result.log.decode() == log + "\n"


def test_csv_stats_reads_more_than_one_buffer_and_many_groups(engine: Engine) -> None:
    rows = "".join(f"{number % 701},{number}\n" for number in range(20_000))
    lines = statistics(engine, "#group-by g\ng,n\n" + rows).splitlines()
    assert len(lines) == 702
    assert lines[0] == "g," + HEADER.strip()
    assert [line.split(",")[0] for line in lines[1:]] == sorted(map(str, range(701)))


# ---- fixed-train

TRAINER = "fixed-train/train.wasm"
SAMPLE = (EXAMPLES / "fixed-train" / "digits-800.bin").read_bytes()


def test_fixed_train_learns_to_read_digits(engine: Engine) -> None:
    output = completed(engine, TRAINER, SAMPLE)
    assert struct.unpack("<2I", output[:8]) == (584, 180)
    assert hashlib.sha256(output).hexdigest() == (
        "558239cceeb45bffa26e60d302dbd415563e92f42d20d2538ae79589cbb1422b"
    )


def small(**changes: int) -> bytes:
    """The first 40 samples with a small network."""
    header = training.Header(64, 5, 10, 30, 10, 0, 3, 4, 3, 4, 9, 0)._replace(**changes)
    return struct.pack("<12I", *header) + SAMPLE[48 : 48 + 65 * 40]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rate": 0, "scale": 0},  # everything runs into the bounds
        {"rate": 12, "seed": 0xFFFFFFFF, "batch": 7},
        {"passes": 0},
        {"hidden": 1, "batch": 1, "pass_first": 65_535},
    ],
)
def test_fixed_train_follows_its_description_bit_for_bit(
    engine: Engine, changes: dict[str, int]
) -> None:
    data = small(**changes)
    assert completed(engine, TRAINER, data) == training.train(data)


def test_fixed_train_cut_into_tasks_gives_the_same_weights(engine: Engine) -> None:
    whole = completed(engine, TRAINER, small(passes=5))
    first = completed(engine, TRAINER, small(passes=2))
    rest = small(passes=3, pass_first=2, weights_given=1)
    assert completed(engine, TRAINER, rest[:48] + first[8:] + rest[48:]) == whole


@pytest.mark.parametrize(
    "data",
    [
        *(b"", small()[:-1], small() + b"\0", small(weights_given=1), small(weights_given=2)),
        *(small(hidden=0), small(hidden=1025), small(inputs=0), small(classes=1), small(batch=0)),
        *(small(classes=257), small(rate=25), small(scale=17), small(passes=65_537)),
        *(small(train=0xFFFFFFFF), small(train=0x80000000, test=0x80000000)),
        small()[:-1] + b"\x0a",
    ],
)
def test_fixed_train_traps_on_what_its_description_does_not_allow(
    engine: Engine, data: bytes
) -> None:
    result = run(engine, EXAMPLES / TRAINER, data)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "unreachable")


# ---- fixed-cnn

CNN = "fixed-cnn/train.wasm"


def pictures(**changes: int) -> bytes:
    """The digits that fixed-train is tried with, for a small convolution."""
    header = training.Header(8, 2, 10, 12, 6, 0, 2, 4, 3, 4, 9, 0)._replace(**changes)
    return struct.pack("<12I", *header) + SAMPLE[48 : 48 + 65 * (header.train + header.test)]


def test_fixed_cnn_learns_to_read_digits(engine: Engine) -> None:
    output = completed(
        engine, CNN, pictures(hidden=8, train=600, test=200, passes=12, batch=8, rate=5)
    )
    assert struct.unpack("<2I", output[:8]) == (597, 189)
    assert hashlib.sha256(output).hexdigest() == (
        "ad99148b985cb88b14760bffbfd0b52edc38906c6cbc8854f0ed80ae09626556"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rate": 0, "scale": 0},  # everything runs into the bounds
        {"rate": 12, "seed": 0xFFFFFFFF, "batch": 7},
        {"passes": 0},
        {"hidden": 1, "batch": 1, "pass_first": 65_535},
    ],
)
def test_fixed_cnn_follows_its_description_bit_for_bit(
    engine: Engine, changes: dict[str, int]
) -> None:
    data = pictures(**changes)
    assert completed(engine, CNN, data) == cnn_training.train(data)


def test_fixed_cnn_cut_into_tasks_gives_the_same_weights(engine: Engine) -> None:
    whole = completed(engine, CNN, pictures(passes=3))
    first = completed(engine, CNN, pictures(passes=1))
    rest = pictures(passes=2, pass_first=1, weights_given=1)
    assert completed(engine, CNN, rest[:48] + first[8:] + rest[48:]) == whole


@pytest.mark.parametrize(
    "data",
    [
        *(b"", pictures()[:-1], pictures() + b"\0", pictures(weights_given=1)),
        *(pictures(hidden=0), pictures(hidden=114), pictures(inputs=3), pictures(inputs=33)),
        *(pictures(classes=1), pictures(classes=257), pictures(batch=0), pictures(batch=1025)),
        *(pictures(rate=25), pictures(scale=17), pictures(passes=65_537), pictures(inputs=7)),
        pictures()[:-1] + b"\x0a",
    ],
)
def test_fixed_cnn_traps_on_what_its_description_does_not_allow(
    engine: Engine, data: bytes
) -> None:
    result = run(engine, EXAMPLES / CNN, data)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "unreachable")
