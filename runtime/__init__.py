"""What several floors need of the outside world: owned tasks, database threads, notifications."""
