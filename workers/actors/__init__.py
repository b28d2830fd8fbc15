"""What each built-in task does, one module per queue."""
