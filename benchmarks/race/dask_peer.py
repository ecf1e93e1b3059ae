"""Dask with a scheduler and two workers, each a process with one thread; nothing is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from course import CORES, Work, compete
from distributed import Client, LocalCluster
from work import TASKS


@contextmanager
def _cluster() -> Iterator[Work]:
    with (
        LocalCluster(
            n_workers=CORES, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield lambda kind, inputs: client.gather(client.map(TASKS[kind], inputs, pure=False))


if __name__ == "__main__":
    compete(_cluster())
