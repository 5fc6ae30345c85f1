"""ml-model: serves models from the registry."""
