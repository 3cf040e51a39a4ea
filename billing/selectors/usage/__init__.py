"""Usage: its sums, the events behind them, and their receipts."""
