"""What a session or a replay came to: figures with their uncertainty, and reports made of rows. Pure."""
