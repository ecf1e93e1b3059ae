"""Where the parts meet: events in, effects out, no rule of its own."""
