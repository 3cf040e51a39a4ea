"""What is sold and for how much: assets, meters, prices, plans, what they cost us, and what usage would come to."""
