"""The mathematics of federated learning: secure sums, privacy, rules of aggregation."""
