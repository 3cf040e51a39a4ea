"""How Django itself writes numbers and dates: the same in every language."""
