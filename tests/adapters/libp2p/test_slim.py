"""What importing libp2p costs, and that the stand-ins stay among themselves."""

import subprocess
import sys

import pytest

MEASURE = """
import sys, trio
def rss_mib():
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) / 1024 for l in status if l.startswith("VmRSS"))
{code}
print(rss_mib())
"""


def rss_mib(code: str) -> float:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE.format(code=code)],
        capture_output=True,
        check=True,
        text=True,
    )
    return float(run.stdout)


@pytest.mark.slow
def test_the_slim_import_saves_twenty_megabytes_and_more() -> None:
    full = rss_mib("import libp2p, libp2p.pubsub.gossipsub")
    slim = rss_mib("import ambientd.adapters.libp2p")
    assert slim < full - 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["psutil", "prometheus_client", "dns"])
def test_third_party_packages_are_real_for_everyone_else(name: str) -> None:
    rss_mib(
        f"import ambientd.adapters.libp2p\nimport {name}\nassert {name}.__file__.endswith('.py')"
    )


@pytest.mark.slow
def test_importing_it_prints_nothing_and_leaves_the_root_logger_alone() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import ambientd.adapters.libp2p, logging; assert not logging.root.handlers",
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("", "")
