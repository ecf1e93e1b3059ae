"""What the shell asks of the world: transport, store, engine, chain, clock, as protocols."""
