"""Pure renderers: from the declaration and the topology to what runs it."""
