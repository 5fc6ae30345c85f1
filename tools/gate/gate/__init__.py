"""`make test`: the steps that guard a change, in the order that fails earliest."""
