"""NVIDIA's library, by one compiled here with the same functions."""

import shutil
import subprocess
from pathlib import Path

from ambientd.adapters.probes.graphics import Graphics, GraphicsProbe
from ambientd.adapters.probes.nvml import Nvml
from ambientd.model.telemetry import Measure
from tests.adapters.probes.fixtures import HandClock
from tests.adapters.probes.machines import lay
from tests.missing import missing

COMPILER = shutil.which("cc")
SOURCE = """
typedef void *device;
int nvmlInit_v2(void) { return READY; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned at, device *found)
  { *found = (device)(0x123456789abcUL + at); return 0; }
static int is_second(device at) { return at == (device)0x123456789abdUL; }
int nvmlDeviceGetUtilizationRates(device at, unsigned *rates)
  { rates[0] = is_second(at) ? 4000000000u : 40; rates[1] = 9; return 0; }
int nvmlDeviceGetMemoryInfo(device at, unsigned long long *memory)
  { memory[0] = 80ULL << 30; memory[1] = 60ULL << 30; memory[2] = 20ULL << 30; return 0; }
int nvmlDeviceGetTemperature(device at, int sensor, unsigned *celsius)
  { *celsius = 51; return is_second(at) ? 3 : 0; }
int nvmlDeviceGetPowerUsage(device at, unsigned *power)
  { *power = 275500; return is_second(at) ? 15 : 0; }
"""


def built(folder: Path, ready: int) -> str:
    if COMPILER is None:
        missing("there is no C compiler (cc) to build a library with")
    source, library = folder / "nvml.c", folder / f"nvml-{ready}.so"
    source.write_text(SOURCE)
    options = ["-shared", "-fPIC", f"-DREADY={ready}", "-o", str(library)]
    subprocess.run([COMPILER, *options, str(source)], check=True)
    return str(library)


def test_the_library_is_asked_for_every_device(tmp_path: Path) -> None:
    assert Nvml(built(tmp_path, 0)).read() == [
        Graphics("nvml", 40, 60 << 30, 51_000, 275_500),
        Graphics("nvml", None, 60 << 30, None, None),
    ]


def test_the_drivers_own_entry_is_not_counted_beside_the_library(tmp_path: Path) -> None:
    lay(tmp_path, {"card0/device/vendor": "0x10de", "card1/device/vendor": "0x10de"})
    for library, count in ((Nvml(built(tmp_path, 0)), 2), (Nvml("libnone.so.1"), 2)):
        found = GraphicsProbe(library, HandClock(), tmp_path).read()
        assert found[0].name == Measure.GPU_COUNT
        assert found[0].value == count * 1000


def test_a_library_that_is_absent_not_ready_or_another_tells_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.so"
    empty.write_bytes(b"")
    for library in ("libnone-of-these.so.1", built(tmp_path, 9), str(empty)):
        nvml = Nvml(library)
        assert nvml.read() is None
        assert nvml.read() is None
