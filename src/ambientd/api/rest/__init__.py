"""The REST front end: the table of operations over HTTP."""
