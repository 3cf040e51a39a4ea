"""The days of the books: what was recognised when."""
