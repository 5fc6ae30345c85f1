"""What a changed declaration changes, and when: pure functions that the operator and the command line share."""
