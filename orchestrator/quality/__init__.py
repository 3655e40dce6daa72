"""What the quality report of a dub says, and how it looks. No I/O here: jobs/measuring.py measures."""
