"""What a process may still use is what its machine and each group above it leave."""

from pathlib import Path

from ambientd.adapters.host_memory import available_bytes

GIB = 1 << 30


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8388608 kB\n", "ascii")
    (root / "proc/self/cgroup").write_text(groups, "ascii")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")
    return root


def test_a_real_machine_has_some(tmp_path: Path) -> None:
    assert 1 << 20 < available_bytes() < 1 << 50
    assert available_bytes(tmp_path) > 1 << 20  # nothing can be read: half of what is built in


def test_without_limits_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    files = {"a/memory.max": "max\n", "a/memory.current": "5\n"}
    assert available_bytes(machine(tmp_path, "0::/a\n", files)) == 8 * GIB


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    files = {
        "a/b/memory.max": f"{4 * GIB}\n",
        "a/b/memory.current": f"{GIB}\n",
        "a/memory.max": f"{6 * GIB}\n",
        "a/memory.current": f"{5 * GIB}\n",
    }
    assert available_bytes(machine(tmp_path, "0::/a/b\n", files)) == GIB


def test_the_first_version_of_control_groups_counts_too(tmp_path: Path) -> None:
    files = {
        "memory/x/memory.limit_in_bytes": f"{2 * GIB}\n",
        "memory/x/memory.usage_in_bytes": f"{3 * GIB}\n",
    }
    assert available_bytes(machine(tmp_path, "4:cpu,memory:/x\n1:pids:/x\n0::/\n", files)) == 0
