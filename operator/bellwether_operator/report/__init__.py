"""What is said about a system: status and events, folded purely from what was observed."""
