"""What an owner types is what the node is told, and what it answers is said in a line."""

from pathlib import Path

import msgspec
import pytest

from ambientd.adapters.trail_files import TrailFiles
from ambientd.api.owner_values import Pause, Resume, SetOwner, ShowOwner
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["pause"], Pause()),
        (["pause", "--drain", "--for", "2h"], Pause(for_ms=2 * HOUR_MS)),
        (["pause", "--now", "--for", "1d"], Pause(stops=True, for_ms=24 * HOUR_MS)),
        (["resume"], Resume()),
        (["owner", "show"], ShowOwner()),
        (["owner", "set", "--cpu", "25%"], SetOwner(cpu_percent=25)),
        (["owner", "set", "--memory", "2GiB"], SetOwner(memory_bytes_max=2**31)),
        (
            ["owner", "set", "--hours", "Mon-Fri 18:00-08:00", "--hours", "Sun 00:00-24:00"],
            SetOwner(hours=("Mon-Fri 18:00-08:00", "Sun 00:00-24:00")),
        ),
        (["owner", "set", "--hours", "always"], SetOwner(hours=())),
        (["owner", "set", "--time-zone", "device"], SetOwner(time_zone="")),
        (
            ["owner", "set", "--battery", "no", "--metered", "yes"],
            SetOwner(on_battery=False, on_metered=True),
        ),
        (["owner", "set", "--metered-link", "usb0"], SetOwner(metered_links=("usb0",))),
        (["owner", "set", "--refuse", "media"], SetOwner(refuses=("media",))),
        (["owner", "set", "--refuse", "none"], SetOwner(refuses=())),
    ],
)
def test_what_is_typed_is_what_is_asked(
    live: Path, ctl: Ctl, node: DeskNode, words: list[str], request_: msgspec.Struct
) -> None:
    code, out, _ = ctl(*words)
    assert code == 0
    assert out
    assert node.requests == [request_]


def test_a_pause_that_the_mesh_has_not_heard_of_says_so(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("pause")
    assert (code, out) == (0, "paused by owner; 2 slots still in hand\n")
    assert "the log does not have it yet" in err
    assert msgspec.json.decode(ctl("pause", "--json")[1])["standing"]["closed"] == "paused"


def test_what_follows_from_a_rule_is_said_with_it(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("owner", "set", "--memory", "1MiB")
    assert (code, err) == (0, "1 MiB are too few; say more\n")
    assert out.startswith("now ")
    assert ctl("owner", "set", "--memory", "2GiB")[2] == ""


def test_the_rules_are_shown_with_the_zone_of_their_hours(live: Path, ctl: Ctl) -> None:
    lines = ctl("owner", "show")[1].splitlines()
    assert lines == [
        "now         takes work",
        "processor   50 % of all cores, 1 at once",
        "memory      1,024 MiB, for all executions together",
        "hours       Mon-Fri 18:00-08:00; the clock is CET (UTC+01:00)",
        "on battery  takes no work",
        "metered     works; metered: usb0",
        "refuses     media",
        "keeps       7 days inputs, 36 hours outputs",
        "in hand     2 slots",
    ]
    assert msgspec.json.decode(ctl("owner", "show", "--json")[1])["cpu_percent"] == 50


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["pause", "--now", "--drain"], "not allowed with"),
        (["pause", "--for", "2"], "no span of time"),
        (["pause", "--for", "400d"], "no span of time"),
        (["pause", "--for", "-1h"], "'-1h' is no span of time"),
        (["owner", "set", "--cpu", "0"], "no share"),
        (["owner", "set", "--cpu", "101%"], "no share"),
        (["owner", "set", "--battery", "maybe"], "neither yes nor no"),
        (["owner", "set", "--memory", "much"], "not a size"),
        (["owner", "set", "--memory", "none"], "0 takes the limit back"),
        (["owner", "set", "--memory", "1"], "below 1MiB; did you mean 1GiB?"),
        (["owner", "set", "--memory", "512"], "did you mean 512MiB?"),
        (["owner", "set", "--memory", "1023KiB"], "below 1MiB; 0 takes the limit back"),
    ],
)
def test_what_no_node_can_heed_is_refused_in_a_line(ctl: Ctl, words: list[str], fault: str) -> None:
    code, out, err = ctl(*words)
    assert (code, out) == (2, "")
    assert fault in err
    assert err.count("\n") == 1


def test_doctor_works_with_no_daemon_and_ends_in_what_to_do(ctl: Ctl, tmp_path: Path) -> None:
    code, out, _ = ctl("doctor", "--data-dir", tmp_path / "nowhere")
    assert code == 1
    assert out.startswith("fail  folder  ")
    assert "ambientctl join TOKEN" in out
    told = msgspec.json.decode(ctl("doctor", "--data-dir", tmp_path / "nowhere", "--json")[1])
    assert (told["running"], told["findings"][0]["grade"]) == (False, "fail")


def test_the_trail_is_read_without_a_daemon(ctl: Ctl, data_dir: Path, tmp_path: Path) -> None:
    trail = TrailFiles(data_dir / "trail")
    trail.append(1_700_000_000_000, "user 7", "pause", {"for_ms": "5"}, "done")
    assert ctl("trail", "tail")[1].endswith("UTC  user 7  pause for_ms=5  done\n")
    code, out, _ = ctl("trail", "verify")
    assert (code, out.splitlines()[0]) == (
        0,
        "1 entry from number 1 on, each with the hash of the one before",
    )
    head = out.splitlines()[1].removeprefix("head ")
    assert ctl("trail", "verify", "--head", head)[0] == 0
    target = tmp_path / "trail.jsonl"
    assert ctl("trail", "export", target)[1] == f"1 entry in {target}\n"
    code, _, err = ctl("trail", "export", target)
    assert (code, "is there already" in err, "--force" in err) == (2, True, True)
    assert ctl("trail", "export", target, "--force")[0] == 0
    trail.append(1_700_000_000_001, "user 7", "pause", {}, "done", 41)
    assert ctl("trail", "tail")[1].endswith("user 7  pause  done, 41 times\n")
    entry = msgspec.json.decode(target.read_bytes())
    assert entry["operation"] == "pause"
    (file,) = (data_dir / "trail").iterdir()
    file.write_bytes(file.read_bytes().replace(b"user 7", b"user 0"))
    code, out, _ = ctl("trail", "verify")
    assert (code, "entry 1 was changed" in out) == (4, True)
    assert ctl("trail", "verify", "--head", "nonsense")[0] == 2


@pytest.mark.parametrize("name", ["trail", "audit"])
@pytest.mark.parametrize("harm", ["changed", "removed", "cut off", "cut"])
def test_a_trail_that_was_tampered_with_is_said_to_be(
    ctl: Ctl, data_dir: Path, name: str, harm: str
) -> None:
    trail = TrailFiles(data_dir / "trail")
    for number in range(5):
        trail.append(1_700_000_000_000 + number, "user 7", "pause", {"for_ms": str(number)}, "done")
    assert ctl(name, "verify")[0] == 0
    head = ctl(name, "verify")[1].splitlines()[1].removeprefix("head ")
    [file] = (data_dir / "trail").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    match harm:
        case "changed":
            lines[2] = lines[2].replace(b"pause", b"paint")
        case "removed":
            del lines[2]
        case "cut off":
            del lines[4]
        case "cut":
            lines[2] = lines[2][:-9] + b"\n"
    file.write_bytes(b"".join(lines))
    code, out, _ = ctl(name, "verify", "--head", head)
    assert code == 4
    assert out.startswith("broken after ")
    if harm != "cut off":  # which shows against a head noted elsewhere alone
        assert ctl(name, "verify")[0] == 4
