"""What the operator decides: config.toml, parsed once into frozen options.

Nothing is imported here, so that ambientctl can find a socket without paying for the rest.
"""
