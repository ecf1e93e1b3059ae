"""The thin concurrent shell: carries events into the node and its effects out to the world."""
