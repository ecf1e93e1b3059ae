"""What every test can count on."""

import signal

# A shell that runs the suite in the background has interrupts ignored, and children inherit that;
# with a handler here they start with the default, as under a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
