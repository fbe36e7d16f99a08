"""What a record is and which rules it keeps: pure code, without I/O, clock or randomness."""
