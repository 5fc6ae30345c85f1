"""market-data: owns the bars, answers as of a moment."""
