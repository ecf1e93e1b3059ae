"""Three nodes on this machine: each word goes to two of them, and comes back with a receipt."""

from pathlib import Path

from ambientd.client import LocalMesh

HELLO = Path(__file__).parents[1] / "hello-compute" / "hello.wasm"
WORDS = (b"moon", b"tide", b"wind")

with LocalMesh(nodes=3) as mesh:
    tasks = [mesh.run(HELLO, word) for word in WORDS]
    for word, task in zip(WORDS, tasks, strict=True):
        answer = task.output()
        workers = {slot.worker for slot in task.show().slots}
        checked = "valid" if task.verify(mesh.fingerprint).valid else "NOT VALID"
        print(
            f"{word.decode()} -> {answer.decode()}, {len(workers)} nodes agreed, receipt {checked}"
        )
