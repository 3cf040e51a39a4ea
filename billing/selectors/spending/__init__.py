"""What is spent against what may be: budgets, forecasts, advice."""
