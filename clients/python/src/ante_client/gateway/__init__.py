"""A reverse proxy for model providers: the customer's Ante key comes in, the operator's provider key goes out.

``ante-gateway``, or any ASGI server with ``ante_client.gateway.app:application``, configured by the
environment (``settings.py``).
"""
