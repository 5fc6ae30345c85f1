"""What every service is built on: bus, RPC, events, health, tracing, lifecycle, clocks."""
