"""Making it so: what has to be written (pure), and the writing."""
