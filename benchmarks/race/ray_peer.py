"""Ray with two workers; with the word `twice`, each task twice, by whichever, and compared."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from course import CORES, Work, compete
from work import TASKS

STORE_BYTES = 100 << 20


@contextmanager
def _cluster(twice: bool) -> Iterator[Work]:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            num_cpus=CORES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        remote = {kind: ray.remote(function) for kind, function in TASKS.items()}

        def once(kind: str, inputs: list[bytes]) -> list[bytes]:
            return ray.get([remote[kind].remote(each) for each in inputs])

        def both(kind: str, inputs: list[bytes]) -> list[bytes]:
            asked = [remote[kind].remote(each) for each in inputs for _ in range(2)]
            answers = ray.get(asked)
            if answers[::2] != answers[1::2]:
                raise SystemExit("two workers gave different answers")
            return answers[::2]

        try:
            yield both if twice else once
        finally:
            ray.shutdown()


if __name__ == "__main__":
    compete(_cluster("twice" in sys.argv))
