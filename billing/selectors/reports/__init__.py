"""What staff and accountants look at over many customers: margins, recurring revenue, expenses, the warehouse."""
