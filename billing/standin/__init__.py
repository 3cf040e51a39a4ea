"""A stand-in for Stripe on one's own machine: the same addresses, objects, signatures and page to pay on, no money.

It is a server of its own, started by ``manage.py up`` where no Stripe key is set, and by tests. It knows nothing of the
product and the product nothing of it: the official library talks to either. It has no place in production.
"""
