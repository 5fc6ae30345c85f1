"""The exchange's sessions and the instants of work that follow from them: pure, no clock, no network."""
