"""How good the monitor is, measured: ``python -m bench.drift``."""
