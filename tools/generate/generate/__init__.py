"""Writes the files of the project that follow from other things: run `make generate`."""
