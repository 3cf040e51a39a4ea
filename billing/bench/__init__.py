"""
The benchmark behind ``manage.py bench``: how fast usage is charged, beside what the same machine could do at most.

* ``shop``: the plan and the customers that it charges. ``traffic``: requests to send, and which answers are right.
* ``load``: sends requests over connections that stay open, and measures. ``ceilings``: what PostgreSQL does without us.
* ``measures``: what is measured, in which order. ``report``: medians, ratios and bars, as a table or as JSON.
* ``profile``: where the time of one event goes.
"""
