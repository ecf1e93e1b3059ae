"""The trio world: each node's runtime, API and store as the daemon runs them, in virtual time.

Nodes talk through a transport in memory, write through a writer without a thread, and execute
nothing; all else is the daemon's code. Scenarios, happenings and checkers are those of the fast
world (`sim.stage`).
"""
