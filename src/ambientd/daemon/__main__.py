"""Run by `python -m ambientd.daemon`."""

import sys

from ambientd.daemon.main import main

sys.exit(main())
