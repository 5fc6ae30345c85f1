"""Paper trading: from a prediction to an order, and the ledger of everything that came of it."""
