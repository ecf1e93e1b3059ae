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


WITHOUT = """
import importlib.abc, importlib.machinery
class Without(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == {name!r} and {is_there}:
            return importlib.machinery.ModuleSpec(name, self)
        if name == {name!r}:
            raise ModuleNotFoundError(name, name=name)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise ImportError("made for another Python")
sys.meta_path.insert(0, Without())
import ambientd.adapters.libp2p
from libp2p.pubsub.pb import rpc_pb2
rpc = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"said")])
assert rpc_pb2.RPC.FromString(rpc.SerializeToString()) == rpc
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["google._upb", "google._upb._message"])
@pytest.mark.parametrize("is_there", [False, True], ids=["absent", "not to be loaded"])
def test_protobuf_in_python_serves_where_the_one_in_c_does_not(name: str, is_there: bool) -> None:
    rss_mib(WITHOUT.format(name=name, is_there=is_there))
