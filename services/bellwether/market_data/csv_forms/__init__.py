"""Files of daily bars in the forms that people have: from a file's bytes to rows, flags and refusals."""
