"""What is imported later is so for whichever thread asks first, also amid the block."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from ambientd.adapters.slim_standard import openssl_later
assert "ssl" not in sys.modules
inside, done = threading.Event(), threading.Event()
def importing():
    with openssl_later(with_hashes=True):
        inside.set()
        done.wait()
thread = threading.Thread(target=importing)
thread.start()
inside.wait()
try:
    import ssl
    context = ssl.create_default_context()
    import ssl as again
finally:
    done.set()
    thread.join()
assert sys.modules["ssl"] is again and isinstance(context, again.SSLContext)
"""


def test_a_thread_that_needs_tls_amid_another_ones_imports_has_the_real_one() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
