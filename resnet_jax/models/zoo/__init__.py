"""Tables: each family's nets, by name."""
