"""config.toml: what is taken, and how what is wrong is named."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.config import places
from ambientd.config.faults import read_config
from ambientd.config.lines import line_of
from ambientd.config.load import load_config, parse_config
from ambientd.config.options import (
    Config,
    Lie,
    is_loopback,
    is_wildcard,
    join_address,
    split_address,
)
from ambientd.config.places import Places, default_data_dir, ensure_private_dir, socket_path_for
from ambientd.config.template import render_config
from ambientd.errors import ConfigError
from ambientd.model.genesis import NodeKind

PEER = "ab" * 32 + "@10.0.0.7:4400"


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_config("") == Config()


def test_the_template_with_nothing_chosen_means_the_defaults() -> None:
    assert parse_config(render_config()) == Config()


def test_the_template_documents_every_option() -> None:
    text = render_config()
    for section in msgspec.structs.fields(Config):
        assert f"\n[{section.name}]\n" in text
        for option in msgspec.structs.fields(section.type):
            assert f"\n# {option.name} = " in text


def test_the_template_has_no_holes_in_its_sentences() -> None:
    assert not [line for line in render_config().splitlines() if "  " in line.strip()]


def test_every_default_in_the_template_is_the_default() -> None:
    live = "\n".join(
        line[2:] if line.startswith("# ") and " = " in line and line[2].islower() else line
        for line in render_config().splitlines()
    )
    assert parse_config(live) == Config()


def test_what_was_chosen_comes_back() -> None:
    text = render_config(
        {
            "node": {"name": "kitchen", "kind": "edge"},
            "transport": {"bootstrap": [PEER]},
            "faults": {"lie": "corrupt_output"},
        }
    )
    config = parse_config(text)
    assert config.node.name == "kitchen"
    assert config.node.kind is NodeKind.EDGE
    assert config.bootstrap_peers()[0].port == 4400
    assert str(config.bootstrap_peers()[0]) == PEER
    assert config.faults.lie is Lie.CORRUPT_OUTPUT


@given(st.text(max_size=40))
def test_any_text_survives_the_template(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    try:
        config = parse_config(render_config({"api": {"socket": text}}))
    except ConfigError:
        pytest.fail("the template wrote TOML that does not parse")
    assert config.api.socket == text


def test_the_template_refuses_options_that_do_not_exist() -> None:
    with pytest.raises(KeyError):
        render_config({"node": {"nmae": "x"}})
    with pytest.raises(KeyError):
        render_config({"nodes": {}})
    with pytest.raises(TypeError):
        render_config({"node": {"name": 1.5}})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[nodes]\nname = "x"', 1, "unknown section [nodes]; did you mean 'node'?"),
        ('\n[zzzzzz]\nname = "x"', 2, "the sections are node, transport"),
        ('[node]\n\n# c\nnmae = "x"', 4, "[node] nmae: unknown key 'nmae'; did you mean 'name'?"),
        ("[execution]\ngas-max = 5", 2, "did you mean 'gas_max'?"),
        ('[node]\nname = "a"\nqqq = 1', 3, "the keys of [node] are name, region, kind"),
        ('[node]\nkind = "phone"', 2, "'phone' is none of 'gateway', 'compute', 'edge', 'mobile'"),
        ("[node]\nname = 3", 2, "[node] name: must be a text in quotes, not an integer"),
        ('[node]\nname = "a b"', 2, "holds characters that a name may not have"),
        ('[execution]\nworkers = "2"', 2, "must be an integer, not a text in quotes"),
        ('[log]\ntrusted_epoch = "2:ab"', 2, "'2:ab' is not of the form NUMBER:HASH"),
        ("[execution]\nworkers = true", 2, "must be an integer, not true or false"),
        ("[execution]\nworkers = 0", 2, "must be int >= 1, not 0"),
        ("[execution]\n  workers=1.5", 2, "must be an integer, not a number"),
        ('[transport]\nlisten = "4400"', 2, 'is not of the form "host:port"'),
        ('[transport]\nlisten = "h:99999"', 2, "the port must be a number from 0 to 65535"),
        ('[transport]\nlisten = "::1:4400"', 2, "goes into brackets"),
        ('[transport]\nadvertise = "0.0.0.0:4400"', 2, "name one that peers can dial"),
        ('[transport]\nadvertise = "10.0.0.7:0"', 2, "port 0 of 10.0.0.7 cannot be dialled"),
        ('[transport]\nadvertise = "10.0.0.7"', 2, 'is not of the form "host:port"'),
        ('[transport]\nbootstrap = ["10.0.0.7:4400"]', 2, '"NODE_ID@host:port"'),
        (f'[transport]\nbootstrap = ["{PEER[:-4]}0"]', 2, "port 0 cannot be dialled"),
        ('[transport]\nbootstrap = "x"', 2, "must be a list, not a text in quotes"),
        ("[transport]\nbootstrap = [1]", 2, "every entry must be a text in quotes"),
        ('[bitcoin]\nchain = "core"', 2, 'Bitcoin Core is reached by "rpc"'),
        ('[bitcoin]\nchain = "esplora"', 1, "[bitcoin] esplora_url: the address "),
        ('[bitcoin]\nexplorer_url = "x"', 2, "[bitcoin] explorer_url: the address "),
        (
            '[bitcoin]\nchain = "rpc"\nrpc_url = "https://x"',
            3,
            'is not of the form "http://host:port"',
        ),
        ('[bitcoin]\nchain = "rpc"\nrpc_url = "http://u:p@x"', 3, "may hold no login"),
        ('[http]\ntrusted_proxies = ["10.0.0.1/4"]', 2, "entry 1: 10.0.0.1/4 has host bits set"),
        ('[http]\ntrusted_proxies = ["proxy"]', 2, "'proxy' does not appear to be"),
        ('[http]\ntrusted_proxies = ["::1", "::/0"]', 2, "entry 2: ::/0 is everybody"),
        (
            '[http]\ntrusted_proxies = ["::1"]\nopen_on_loopback = true',
            3,
            "by a proxy on this machine might be let in",
        ),
        ("node = 3", 1, "[node] must be a section"),
        ("node.name = 4", 1, "[node] name: must be a text"),
        ('["node"]\n"name" = 4', 2, "[node] name: must be a text"),
        ("[node]\nregion = 2026-01-01", 2, "must be a text in quotes, not date"),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "/x/config.toml")
    assert str(error.value).startswith(f"/x/config.toml, line {line}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x =", 1, "a value is missing, here: x ="),
        ("[node]\nname = 'a'\nname = 'b'", 3, "it is set a second time; keep one"),
        ("[node]\n[http]\n[node]", 3, "this section stands a second time"),
        ("\n[node", 2, 'a section ends with "]": [node]'),
        ("a = [" * 9, 1, "a value"),
        ("[node]\nname = attic # mine", 2, 'a text stands in quotes: name = "attic"'),
        ("[http]\nenabled = True", 2, "write enabled = true"),
        ("[http]\nenabled = yes", 2, "write true or false"),
        ('[node]\nname = "attic', 2, "a text is never closed"),
        ('[node]\nlabels = ["a=b"', 2, "a list is never closed"),
        ('[api]\nsocket = "C:\\p"', 2, 'a "\\" in double quotes is written twice'),
        ('[node]\nname: "attic"', 2, 'a key is followed by "=" and its value'),
        ('[node]\nname = "a" "b"', 2, "one setting a line"),
        ("[node]\n?", 2, "neither a section, nor a setting, nor a comment"),
        ("a = " + "[" * 5000, None, "too deeply"),
        ("a = " + "9" * 5000, None, "a number has too many digits"),
    ],
)
def test_what_is_no_toml_is_said_in_plain_words(text: str, line: int | None, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "/x/config.toml")
    place = f", line {line}" if line else ""
    assert str(error.value).startswith(f"/x/config.toml{place}: not valid TOML: ")
    assert words in str(error.value)


def test_all_faults_of_a_config_are_found_each_with_its_line_and_key() -> None:
    text = """
[nod]
[node]
nmae = "x"
kind = "phone"
[execution]
workers = "2"
gas_max = 0
wall-ms-max = 5
[transport]
listen = "4400"
advertise = "0.0.0.0:1"
"""
    config, faults = read_config(text)
    assert [(fault.line, fault.key) for fault in faults] == [
        (2, ""),
        (4, "[node] nmae"),
        (9, "[execution] wall-ms-max"),
        (5, "[node] kind"),
        (7, "[execution] workers"),
        (8, "[execution] gas_max"),
        (11, "[transport] listen"),
        (12, "[transport] advertise"),
    ]
    assert config.execution == Config().execution


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "x"', "'name' stands in no section; did you mean 'name' of [node]?"),
        ("[node]\nworkers = 3", "unknown key 'workers'; did you mean 'workers' of [execution]?"),
        ("node.nmae = 'x'", "[node] nmae: unknown key 'nmae'; did you mean 'name'?"),
        ("node = { nmae = 'x' }", "[node] nmae: unknown key 'nmae'; did you mean 'name'?"),
        ("[node.labels]\nroom = 'attic'", "[node] labels: must be a list, not a section"),
        ("[http.tls]\ncert = 'x'", "[http] tls: unknown key 'tls'"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text)
    assert words in str(error.value)


def test_a_setting_that_cannot_be_read_brings_no_second_fault_with_it() -> None:
    _, faults = read_config("[http]\ntls_cert = 3\ntls_key = 'k'")
    assert [fault.key for fault in faults] == ["[http] tls_cert"]


@given(st.text(alphabet='[]=.#"ab \nnodename1', max_size=60))
def test_any_text_is_parsed_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        parse_config(text)


def test_the_line_of_a_key_that_hides_is_that_of_its_section() -> None:
    assert line_of("# x\n[node]\n", ("node", "name")) == 2
    assert line_of("# x\n", ("node", "name")) is None
    assert line_of('node = { name = "x" }', ("node", "name")) == 1


@pytest.mark.parametrize(
    ("host", "wildcard", "loopback"),
    [
        ("0.0.0.0", True, False),
        ("::", True, False),
        ("127.0.0.1", False, True),
        ("127.9.9.9", False, True),
        ("::1", False, True),
        ("Localhost", False, True),
        ("192.0.2.7", False, False),
        ("attic.local", False, False),
    ],
)
def test_hosts_tell_how_far_they_reach(host: str, wildcard: bool, loopback: bool) -> None:
    assert (is_wildcard(host), is_loopback(host)) == (wildcard, loopback)


@pytest.mark.parametrize("text", ["127.0.0.1:4400", "[::1]:4400", "host.example:1"])
def test_addresses_come_back_as_written(text: str) -> None:
    assert join_address(*split_address(text)) == text


@pytest.mark.parametrize("text", ["", ":", "h:", ":1", "h:x", "h:-1", "h p:1", "a/b:1", "h:１"])
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        split_address(text)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ambientctl cluster create"):
        load_config(tmp_path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = Places(tmp_path).config
    path.mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml: cannot be read"):
        load_config(tmp_path)
    path.rmdir()
    path.write_bytes(b"[node]\nname = '\xff'")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load_config(tmp_path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="at most 1048576"):
        load_config(tmp_path)


def test_a_socket_path_that_no_socket_takes_is_named_with_its_line(tmp_path: Path) -> None:
    Places(tmp_path).config.write_text(f'[api]\nsocket = "{"x" * 200}"')
    with pytest.raises(ConfigError, match=r"line 2: \[api\] socket: .*choose a shorter one"):
        load_config(tmp_path)


def test_the_socket_is_in_the_data_directory(tmp_path: Path) -> None:
    assert socket_path_for(Path("/d")) == Path("/d/ambientd.sock")
    assert socket_path_for(Path("/d"), "run/x.sock") == Path("/d/run/x.sock")
    assert socket_path_for(Path("/d"), "/run/x.sock") == Path("/run/x.sock")


def test_a_long_data_directory_moves_the_socket_to_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, other = (socket_path_for(Path("/" + letter * 120)) for letter in "ab")
    assert one.parent == tmp_path / "ambient"
    assert one != other
    assert len(os.fsencode(one)) <= places.SOCKET_PATH_BYTES_MAX
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(os.getuid()) in str(socket_path_for(Path("/" + "a" * 120)).parent)


def test_a_runtime_folder_others_can_enter_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    ensure_private_dir(private)
    ensure_private_dir(private)
    private.chmod(0o755)
    with pytest.raises(ConfigError, match="mode 0700"):
        ensure_private_dir(private)
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(ConfigError, match="must be a folder"):
        ensure_private_dir(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot create"):
        ensure_private_dir(tmp_path / "file" / "below")


def test_the_default_data_directory_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMBIENT_DATA_DIR", "/srv/node")
    assert default_data_dir() == Path("/srv/node")
    monkeypatch.delenv("AMBIENT_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", "/home/x/data")
    assert default_data_dir() == Path("/home/x/data/ambient")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == Path.home() / ".local/share/ambient"


def test_the_embedded_chain_may_be_shared_or_ones_own() -> None:
    assert Places(Path("/c/node1")).embedded_chain("../chain") == Path("/c/chain")
    assert Places(Path("/c/node1")).embedded_chain("chain") == Path("/c/node1/chain")
