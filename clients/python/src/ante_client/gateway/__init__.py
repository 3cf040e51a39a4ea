"""A reverse proxy for model providers: the customer's Ante key comes in, the operator's provider key goes out.

``granian --interface asgi ante_client.gateway.app:application``, configured by the environment (``settings.py``).
"""
