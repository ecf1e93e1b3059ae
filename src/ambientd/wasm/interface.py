"""What a module may import and must export: the ambient ABI v1 and a WASI subset (§2, §9)."""

from dataclasses import dataclass
from enum import Enum

from ambientd.wasm.sections import External, Signature

GAS_EXPORT = "__ambient_gas"  # mutable i64 global; negative <=> out of gas
DEPTH_EXPORT = "__ambient_depth"  # mutable i32 global; above the limit <=> call depth exceeded
START_EXPORT = "__ambient_start"  # the former start function, if there was one
RESERVED_PREFIX = "__ambient_"

WASI_MODULE = "wasi_snapshot_preview1"


class Interface(Enum):
    """How the host talks to a module."""

    AMBIENT = "ambient"
    WASI = "wasi"


@dataclass(frozen=True, slots=True)
class Required:
    """An export that an interface needs; the signature is None for a memory."""

    name: str
    kind: External
    signature: Signature | None
    shown: str


_MEMORY = Required("memory", External.MEMORY, None, "memory")
REQUIRED_EXPORTS: dict[Interface, tuple[Required, ...]] = {
    Interface.AMBIENT: (
        _MEMORY,
        Required("alloc", External.FUNCTION, Signature(b"\x7f", b"\x7f"), "alloc: (i32) -> i32"),
        Required(
            "run", External.FUNCTION, Signature(b"\x7f\x7f", b"\x7e"), "run: (i32, i32) -> i64"
        ),
    ),
    Interface.WASI: (
        _MEMORY,
        Required("_start", External.FUNCTION, Signature(b"", b""), "_start: () -> ()"),
    ),
}


class Errno(Enum):
    """The WASI error numbers that the subset answers with."""

    BADF = 8
    NOSYS = 52
    NOTSUP = 58
    NOTCAPABLE = 76


@dataclass(frozen=True, slots=True)
class WasiFunction:
    """One importable function; with `always`, the host answers that and does nothing else."""

    params: str  # "i" for i32, "l" for i64
    results: str
    always: Errno | None = None

    def signature(self) -> Signature:
        """Return the type in the module's encoding."""
        codes = {"i": 0x7F, "l": 0x7E}
        return Signature(
            bytes(codes[c] for c in self.params), bytes(codes[c] for c in self.results)
        )


WASI_FUNCTIONS: dict[str, WasiFunction] = {
    # served from the task: arguments, environment, clock, random bytes, standard streams
    "args_get": WasiFunction("ii", "i"),
    "args_sizes_get": WasiFunction("ii", "i"),
    "clock_res_get": WasiFunction("ii", "i"),
    "clock_time_get": WasiFunction("ili", "i"),
    "environ_get": WasiFunction("ii", "i"),
    "environ_sizes_get": WasiFunction("ii", "i"),
    "fd_close": WasiFunction("i", "i"),
    "fd_fdstat_get": WasiFunction("ii", "i"),
    "fd_fdstat_set_flags": WasiFunction("ii", "i"),
    "fd_filestat_get": WasiFunction("ii", "i"),
    "fd_read": WasiFunction("iiii", "i"),
    "fd_seek": WasiFunction("ilii", "i"),
    "fd_tell": WasiFunction("ii", "i"),
    "fd_write": WasiFunction("iiii", "i"),
    "poll_oneoff": WasiFunction("iiii", "i"),
    "proc_exit": WasiFunction("i", ""),
    "random_get": WasiFunction("ii", "i"),
    "sched_yield": WasiFunction("", "i"),
    # present so that ordinary programs link; there are no files, sockets or signals
    "fd_advise": WasiFunction("illi", "i", Errno.NOTSUP),
    "fd_allocate": WasiFunction("ill", "i", Errno.NOTSUP),
    "fd_datasync": WasiFunction("i", "i", Errno.NOTSUP),
    "fd_fdstat_set_rights": WasiFunction("ill", "i", Errno.NOTSUP),
    "fd_filestat_set_size": WasiFunction("il", "i", Errno.NOTSUP),
    "fd_filestat_set_times": WasiFunction("illi", "i", Errno.NOTSUP),
    "fd_pread": WasiFunction("iiili", "i", Errno.NOTSUP),
    "fd_prestat_dir_name": WasiFunction("iii", "i", Errno.BADF),
    "fd_prestat_get": WasiFunction("ii", "i", Errno.BADF),
    "fd_pwrite": WasiFunction("iiili", "i", Errno.NOTSUP),
    "fd_readdir": WasiFunction("iiili", "i", Errno.NOTSUP),
    "fd_renumber": WasiFunction("ii", "i", Errno.NOTSUP),
    "fd_sync": WasiFunction("i", "i", Errno.NOTSUP),
    "path_create_directory": WasiFunction("iii", "i", Errno.NOTCAPABLE),
    "path_filestat_get": WasiFunction("iiiii", "i", Errno.NOTCAPABLE),
    "path_filestat_set_times": WasiFunction("iiiilli", "i", Errno.NOTCAPABLE),
    "path_link": WasiFunction("iiiiiii", "i", Errno.NOTCAPABLE),
    "path_open": WasiFunction("iiiiillii", "i", Errno.NOTCAPABLE),
    "path_readlink": WasiFunction("iiiiii", "i", Errno.NOTCAPABLE),
    "path_remove_directory": WasiFunction("iii", "i", Errno.NOTCAPABLE),
    "path_rename": WasiFunction("iiiiii", "i", Errno.NOTCAPABLE),
    "path_symlink": WasiFunction("iiiii", "i", Errno.NOTCAPABLE),
    "path_unlink_file": WasiFunction("iii", "i", Errno.NOTCAPABLE),
    "proc_raise": WasiFunction("i", "i", Errno.NOSYS),
    "sock_accept": WasiFunction("iii", "i", Errno.NOTSUP),
    "sock_recv": WasiFunction("iiiiii", "i", Errno.NOTSUP),
    "sock_send": WasiFunction("iiiii", "i", Errno.NOTSUP),
    "sock_shutdown": WasiFunction("ii", "i", Errno.NOTSUP),
}
