"""ambientctl: what a person types; only a client, so that it starts in milliseconds."""
