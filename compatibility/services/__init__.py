"""The package that callers of the old system import."""
