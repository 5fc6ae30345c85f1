"""What a model is made of: features, labels, recipe, fit, artifact. Runs in a child process."""
