"""History as the judge: decisions made again from stored bars, by the services' own pure parts."""
