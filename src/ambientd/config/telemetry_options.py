"""What a node measures and tells of itself: the section `telemetry` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

INTERVAL_MS_MIN = 100


class TelemetryOptions(Options, frozen=True):
    """What this node tells its peers of its condition.

    Carbon intensity comes from the first of carbon_url, carbon_file, carbon_table and
    carbon_g_per_kwh that gives a number; power from the processors' counters where the daemon may
    read them, from a battery that is drained, and else from a model, whose figures say so.
    """

    interval_ms: Annotated[
        int,
        Meta(ge=INTERVAL_MS_MIN, le=600_000, description="Time between two observations, in ms."),
    ] = 10_000
    sysfs: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description=(
                "Folder in which the kernel shows this device's sensors; in a container, where "
                "the device's own /sys is mounted."
            ),
        ),
    ] = "/sys"
    bandwidth_bytes_per_day: Annotated[
        int,
        Meta(
            ge=0,
            le=2**40,
            description=(
                "How much this node fetches a day, and as much again gives away, only to measure "
                "bandwidth against its peers: a 160th of it each nine minutes, from one "
                "after the other. "
                "Below 2560 KiB: never."
            ),
        ),
    ] = 48 * 1024 * 1024
    power_model: Annotated[
        bool,
        Meta(description="Whether power and energy may come from a model where nothing counts."),
    ] = True
    power_idle_mw: Annotated[
        int,
        Meta(
            ge=0,
            le=5_000_000,
            description="What this device draws idle, in mW, for the model; 0: 740 a core.",
        ),
    ] = 0
    power_busy_mw: Annotated[
        int,
        Meta(
            ge=0,
            le=5_000_000,
            description="What it draws with all cores busy, in mW; 0: 3500 a core.",
        ),
    ] = 0
    carbon_g_per_kwh: Annotated[
        int,
        Meta(ge=0, le=5_000, description="Carbon intensity of this device's grid; 0: not known."),
    ] = 0
    carbon_file: Annotated[
        str,
        Meta(
            max_length=4096,
            description="File that something else keeps fresh, with that number alone.",
        ),
    ] = ""
    carbon_table: Annotated[
        str,
        Meta(
            max_length=4096,
            description="TOML file with a line `region = number` for the region of [node].",
        ),
    ] = ""
    carbon_url: Annotated[
        str,
        Meta(
            max_length=300,
            description=(
                "Server that answers with the number as JSON; asked four times an hour, and its "
                "last answer counts for two hours. Empty: none is asked."
            ),
        ),
    ] = ""
    carbon_field: Annotated[
        str,
        Meta(
            max_length=200,
            description='Where in that answer the number is, as "data.0.intensity.actual".',
        ),
    ] = ""
    journal_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**44,
            description=(
                "Disk for what all nodes said of themselves, as they signed it, in bytes; the "
                "oldest goes first. 0: nothing is kept beyond the last day's means in memory."
            ),
        ),
    ] = 0
