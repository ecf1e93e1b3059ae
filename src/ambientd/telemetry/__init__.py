"""Observations, health and safe mode, as one sans-IO core (protocols/07-telemetry.md)."""
