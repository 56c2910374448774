"""Tidemill keeps a machine-learning model alive: one loop from data to a better model in production, and back."""

from tidemill.process import switch_off_telemetry, wait_without_spinning

__version__ = "0.1.0"

switch_off_telemetry()
wait_without_spinning()
