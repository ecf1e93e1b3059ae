"""Which engines there are, which can be opened here, and how one is opened.

wasmtime comes with the package. The others are compiled from `native/engines` where Rust is
(`make engines`) and found by their import name; nothing of an engine is loaded before it is opened.
"""

from ambientd.adapters.packages import installed_version
from ambientd.errors import ConfigError
from ambientd.ports.engine import Engine

ENGINE_NAMES = ("wasmtime", "wasmer", "wasmi")
COMPILING = ("wasmtime", "wasmer")
_NATIVE_PACKAGE = "ambientd-engines"
NATIVE_VERSION = "0.2.0"  # of native/engines; a build of another one is as good as none


def installed() -> tuple[str, ...]:
    """Name the engines that can be opened here, in a fixed order; wasmtime always can."""
    is_native = installed_version(_NATIVE_PACKAGE) == NATIVE_VERSION
    return ENGINE_NAMES if is_native else ENGINE_NAMES[:1]


def engine_for(node: bytes) -> str:
    """Give the engine that "auto" means on a node: compiled ones in turn, so that replicas differ.

    The interpreter is many times slower and runs only where an owner names it.
    """
    compiled = [name for name in COMPILING if name in installed()]
    return compiled[node[0] % len(compiled)]


def require(name: str) -> str:
    """Return the name; raise ConfigError for an engine that is unknown or not installed."""
    if name not in ENGINE_NAMES:
        msg = f"there is no engine called {name!r}. Choose one of {', '.join(ENGINE_NAMES)}"
        raise ConfigError(msg)
    if name not in installed():
        found = installed_version(_NATIVE_PACKAGE)
        state = (
            "not installed" if found is None else f"installed in version {found}, too old or new"
        )
        msg = (
            f"the engine {name} is {state}. Build it with `make engines` (needs Rust), or "
            f"choose one that is: {', '.join(installed())}"
        )
        raise ConfigError(msg)
    return name


def open_engine(name: str) -> Engine:
    """Open an engine by name; raise ConfigError for one that is unknown or not installed."""
    require(name)
    if name == "wasmtime":
        from ambientd.adapters.wasmtime_engine import WasmtimeEngine

        return WasmtimeEngine()
    from ambientd.adapters.native_engine import NativeEngine

    return NativeEngine(name)
