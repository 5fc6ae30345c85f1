"""The exchange's sessions and the moments of work that follow from them: pure, no clock, no network."""
