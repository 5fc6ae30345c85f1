"""prediction: owns the decisions."""
