"""The outside world that answers: places, connections to them, and what we know of their health."""
