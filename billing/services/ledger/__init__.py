"""The books and their one writer: locked wallets, postings, holds, seals, and the checks that look at all of it."""
