"""Module preparation: one deterministic rewrite before any engine sees a module (protocols/04)."""
