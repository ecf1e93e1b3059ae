"""What every test can count on."""

import signal

from hypothesis import settings

# A shell that runs the suite in the background has interrupts ignored, and children inherit that;
# with a handler here they start with the default, as under a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine and what else it does, not of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
