"""What a wallet holds, from outside usage: grants, what is put right afterwards, charges that are disputed."""
