"""market-data: owns the bars, answers as of an instant."""
