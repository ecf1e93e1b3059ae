"""Builds the image of the Dockerfile with buildah, without a registry of images, and uses it.

Both bases are this machine's own: Debian's smallest system with Python, brought by debootstrap,
and this machine's Node.js and certificates. What is built runs in chroot isolation: no daemon, and
no features of the kernel; then again on a root that is mounted read-only. It proves the Dockerfile,
not the published bases.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.packages import ROOT

NEEDED = ("buildah", "debootstrap", "node", "npm", "unshare")
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
BASE = "localhost/ambient-base"
IMAGE = "localhost/ambient"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MODULE = "/module.wasm"
EXTRAS = "import numpy, obstore"
# As in deploy/compose: four nodes, one asked for its health as the image does; a task; the end.
TRIAL = """
set -e
daemons=
trap '[ -z "$daemons" ] || kill -TERM $daemons' EXIT
test "$(id -u)" = 10001
ambientctl cluster create mesh --members 4 --bitcoin off --base-port 4890 --quiet
for node in 1 2 3 4; do
  ambientd --data-dir "mesh/node$node" &
  daemons="$daemons $!"
done
export AMBIENT_DATA_DIR="$PWD/mesh/node1"
for _ in $(seq 120); do ambientctl status --quiet 2>/dev/null && break; sleep 1; done
ambientctl status --quiet
printf world | ambientctl run /module.wasm --yes --input - --receipt run.receipt
ambientctl receipt verify run.receipt
kill -TERM $daemons
wait $daemons
trap - EXIT
"""
# As a container with `read_only: true`: whoever owns a folder cannot write to it either.
READ_ONLY_TRIAL = f"""
set -e
if touch /run/ambient/written 2>/dev/null; then echo "the root can be written"; exit 1; fi
{TRIAL}"""
READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$1/var/lib/ambient"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
root="$1"
shift
exec chroot --userspec=10001:10001 "$root" env -i "$@"
"""


class Buildah:
    """The program, with a store of its own that is removed at the end."""

    def __init__(self, store: Path) -> None:
        """Keep images under a folder."""
        self._command = ["buildah", "--storage-driver", "vfs", "--root", str(store / "images")]
        self._command += ["--runroot", str(store / "run")]

    def __call__(self, *words: str) -> str:
        """Run it; give what it printed, or end with its own words."""
        done = subprocess.run([*self._command, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"buildah {words[0]}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr}")
        return done.stdout.strip()


def make_base(system: Path) -> None:
    """Bring Debian's smallest system with Python, and this machine's Node.js and certificates."""
    if (system / ".whole").exists():
        return
    shutil.rmtree(system, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(system)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    node, npm = (Path(shutil.which(name) or "").resolve() for name in ("node", "npm"))
    shutil.copy2(node, system / "usr" / "bin" / "node")
    modules = system / "usr" / "lib" / "node_modules" / "npm"
    shutil.copytree(npm.parents[1], modules, symlinks=True)
    (system / "usr" / "bin" / "npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
    shutil.copy2(CERTIFICATES, system / "etc" / "ssl" / "certs")
    (system / ".whole").touch()


def check_config(text: str) -> list[str]:
    """Say whether the image is what the Dockerfile promises of it; give its environment."""
    config = json.loads(text)["Docker"]["config"]
    expected = {
        "User": "10001:10001",
        "Entrypoint": ["ambientd"],
        "StopSignal": "SIGTERM",
        "Volumes": {"/var/lib/ambient": {}},
    }
    wrong = {
        name: config.get(name) for name, value in expected.items() if config.get(name) != value
    }
    if "ambientctl" not in config.get("Healthcheck", {}).get("Test", []):
        wrong["Healthcheck"] = config.get("Healthcheck")
    if wrong:
        sys.exit(f"the image's configuration is not the Dockerfile's: {wrong}")
    return list(config["Env"])


def run_read_only(root: str, variables: Sequence[str]) -> None:
    """Run the mesh on a root that takes writes where the Dockerfile says, and nowhere else."""
    trial = ["sh", "-c", f"cd /var/lib/ambient\n{READ_ONLY_TRIAL}"]
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    subprocess.run([*spaces, "sh", "-c", READ_ONLY, "sh", root, *variables, *trial], check=True)


def main(words: Sequence[str]) -> None:
    """Build and try it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the base and the images are kept")
    parser.add_argument("module", type=Path, help="a reference module that greets its input")
    parser.add_argument("--requirements", choices=("runtime", "extras"), default="runtime")
    chosen = parser.parse_args(words)
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent or os.geteuid() != 0:
        sys.exit(f"building an image needs root and {', '.join(absent or NEEDED)}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    make_base(chosen.folder / "system")
    buildah = Buildah(chosen.folder)
    name = buildah("from", "scratch")
    buildah("copy", "--quiet", name, str(chosen.folder / "system"), "/")
    # A network may have an authority of its own: npm and pip believe what this machine believes.
    for each in ("NODE_EXTRA_CA_CERTS", "PIP_CERT"):
        buildah("config", "--env", f"{each}={CERTIFICATES}", name)
    buildah("commit", "--quiet", "--rm", name, BASE)
    bases = [f"--build-arg={each}={BASE}" for each in ("NODE", "PYTHON")]
    bases.append(f"--build-arg=REQUIREMENTS={chosen.requirements}")
    build = [
        "build",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "--pull-never",
        "--layers=false",
    ]
    buildah(*build, *bases, "--tag", IMAGE, str(ROOT))
    variables = check_config(buildah("inspect", "--type", "image", IMAGE))
    name = buildah("from", "--pull-never", IMAGE)
    buildah("copy", "--chmod", "0444", name, str(chosen.module), MODULE)
    if chosen.requirements == "extras":
        buildah("run", "--isolation", "chroot", name, "--", "python3", "-c", EXTRAS)
    print(buildah("run", "--isolation", "chroot", name, "--", "sh", "-c", TRIAL))
    print("the same with a root that is mounted read-only:", flush=True)
    run_read_only(buildah("mount", name), variables)
    buildah("umount", name)
    buildah("rm", name)


if __name__ == "__main__":
    main(sys.argv[1:])
