"""What a module may import (§9): the WASI subset and the crypto interface, for every engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ambientd.wasm.sections import Signature

WASI_MODULE = "wasi_snapshot_preview1"
CRYPTO_MODULE = "ambient_crypto"


class Errno(Enum):
    """The WASI error numbers that the subset answers with."""

    BADF = 8
    NOSYS = 52
    NOTSUP = 58
    NOTCAPABLE = 76


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function of the host; with `always`, the host answers that and does nothing else."""

    params: str  # "i" for i32, "l" for i64
    results: str
    always: Errno | None = None

    def signature(self) -> Signature:
        """Return the type in the module's encoding."""
        codes = {"i": 0x7F, "l": 0x7E}
        return Signature(
            bytes(codes[c] for c in self.params), bytes(codes[c] for c in self.results)
        )


WASI_FUNCTIONS: dict[str, HostFunction] = {
    # served from the task: arguments, environment, clock, random bytes, standard streams
    "args_get": HostFunction("ii", "i"),
    "args_sizes_get": HostFunction("ii", "i"),
    "clock_res_get": HostFunction("ii", "i"),
    "clock_time_get": HostFunction("ili", "i"),
    "environ_get": HostFunction("ii", "i"),
    "environ_sizes_get": HostFunction("ii", "i"),
    "fd_close": HostFunction("i", "i"),
    "fd_fdstat_get": HostFunction("ii", "i"),
    "fd_fdstat_set_flags": HostFunction("ii", "i"),
    "fd_filestat_get": HostFunction("ii", "i"),
    "fd_read": HostFunction("iiii", "i"),
    "fd_seek": HostFunction("ilii", "i"),
    "fd_tell": HostFunction("ii", "i"),
    "fd_write": HostFunction("iiii", "i"),
    "poll_oneoff": HostFunction("iiii", "i"),
    "proc_exit": HostFunction("i", ""),
    "random_get": HostFunction("ii", "i"),
    "sched_yield": HostFunction("", "i"),
    # present so that ordinary programs link; there are no files, sockets or signals
    "fd_advise": HostFunction("illi", "i", Errno.NOTSUP),
    "fd_allocate": HostFunction("ill", "i", Errno.NOTSUP),
    "fd_datasync": HostFunction("i", "i", Errno.NOTSUP),
    "fd_fdstat_set_rights": HostFunction("ill", "i", Errno.NOTSUP),
    "fd_filestat_set_size": HostFunction("il", "i", Errno.NOTSUP),
    "fd_filestat_set_times": HostFunction("illi", "i", Errno.NOTSUP),
    "fd_pread": HostFunction("iiili", "i", Errno.NOTSUP),
    "fd_prestat_dir_name": HostFunction("iii", "i", Errno.BADF),
    "fd_prestat_get": HostFunction("ii", "i", Errno.BADF),
    "fd_pwrite": HostFunction("iiili", "i", Errno.NOTSUP),
    "fd_readdir": HostFunction("iiili", "i", Errno.NOTSUP),
    "fd_renumber": HostFunction("ii", "i", Errno.NOTSUP),
    "fd_sync": HostFunction("i", "i", Errno.NOTSUP),
    "path_create_directory": HostFunction("iii", "i", Errno.NOTCAPABLE),
    "path_filestat_get": HostFunction("iiiii", "i", Errno.NOTCAPABLE),
    "path_filestat_set_times": HostFunction("iiiilli", "i", Errno.NOTCAPABLE),
    "path_link": HostFunction("iiiiiii", "i", Errno.NOTCAPABLE),
    "path_open": HostFunction("iiiiillii", "i", Errno.NOTCAPABLE),
    "path_readlink": HostFunction("iiiiii", "i", Errno.NOTCAPABLE),
    "path_remove_directory": HostFunction("iii", "i", Errno.NOTCAPABLE),
    "path_rename": HostFunction("iiiiii", "i", Errno.NOTCAPABLE),
    "path_symlink": HostFunction("iiiii", "i", Errno.NOTCAPABLE),
    "path_unlink_file": HostFunction("iii", "i", Errno.NOTCAPABLE),
    "proc_raise": HostFunction("i", "i", Errno.NOSYS),
    "sock_accept": HostFunction("iii", "i", Errno.NOTSUP),
    "sock_recv": HostFunction("iiiiii", "i", Errno.NOTSUP),
    "sock_send": HostFunction("iiiii", "i", Errno.NOTSUP),
    "sock_shutdown": HostFunction("ii", "i", Errno.NOTSUP),
}

CRYPTO_FUNCTIONS: dict[str, HostFunction] = {
    "sha256": HostFunction("iii", ""),
    "blake2b_256": HostFunction("iii", ""),
    "ed25519_verify": HostFunction("iiii", "i"),
}

# Module, then name; a name occurs in one module only, so it alone tells a host call.
IMPORTABLE: Mapping[str, Mapping[str, HostFunction]] = MappingProxyType(
    {
        WASI_MODULE: MappingProxyType(WASI_FUNCTIONS),
        CRYPTO_MODULE: MappingProxyType(CRYPTO_FUNCTIONS),
    }
)
HOST_FUNCTIONS: Mapping[str, HostFunction] = MappingProxyType(WASI_FUNCTIONS | CRYPTO_FUNCTIONS)
# How a pausable module hands its frames to the host and takes them back (protocols/08). The
# rewriter adds these imports; a submitted module may not have them.
PAUSE_MODULE = "ambient_pause"
PAUSE_FUNCTIONS: dict[str, HostFunction] = {
    "pop": HostFunction("", "l"),
    "push": HostFunction("l", ""),
}
# What an engine binds.
BOUND: Mapping[str, Mapping[str, HostFunction]] = MappingProxyType(
    {**IMPORTABLE, PAUSE_MODULE: MappingProxyType(PAUSE_FUNCTIONS)}
)
