"""From a Config to a checked run plan."""
