"""Money in: from the wish to pay to value in the wallet, and back.

``quotes`` says what it costs, ``attempts`` gets it paid and never twice, ``top_ups`` credits what was paid, ``refunds``
pays back, ``disputes`` follows what payers' banks want back, ``rules`` and ``automatic`` top up by themselves,
``methods`` mirrors what payers keep with the provider, ``inbox`` works through what the provider reports.
"""
