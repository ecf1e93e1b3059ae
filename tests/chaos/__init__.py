"""Real daemons in network namespaces behind a switch that is bad on purpose."""
