"""What invoices ask for, and what of it is paid."""
