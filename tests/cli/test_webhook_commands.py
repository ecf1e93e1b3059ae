"""What an owner sees of webhooks."""

from pathlib import Path

import msgspec
import pytest

from ambientd.config.load import parse_config
from ambientd.errors import ConfigError
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net


def test_a_test_says_in_a_line_whether_the_receiver_took_it(
    live: Path, ctl: Ctl, node: DeskNode
) -> None:
    assert ctl("webhook", "test") == (0, "delivered: evt_1, it answered 204\n", "")
    node.is_poor = True
    code, out, err = ctl("webhook", "test")
    assert (code, out) == (1, "")
    assert err.startswith("not delivered: it answered 401; see [webhook]")
    assert msgspec.json.decode(ctl("webhook", "test", "--json")[1])["status"] == 401


def test_the_secret_is_made_once(ctl: Ctl, data_dir: Path) -> None:
    (data_dir / "config.toml").touch()
    first = ctl("webhook", "secret")[1]
    assert first.startswith("whsec_")
    assert ctl("webhook", "secret", "--json")[1] == f'{{"secret":"{first.strip()}"}}\n'


def test_an_address_that_is_none_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"line 2: \[webhook\] url: the address "):
        parse_config('[webhook]\nurl = "ftp://x"\n')
