"""Where a request goes: pure decisions over facts, rules and what is known of each place. No I/O, clock or chance."""
