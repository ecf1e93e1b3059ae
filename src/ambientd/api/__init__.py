"""What people and programs reach a node through: operations, the local socket, offline checks."""
