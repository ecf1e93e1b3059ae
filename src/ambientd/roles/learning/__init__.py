"""A node's parts in federated learning: it trains, and it aggregates."""
