"""The editor of a plan's draft: forms, what they come to, and publishing.

``forms`` read what was typed; ``editor`` puts a draft's terms into forms and gets them back; ``preview``
says what the prices cost, by the engine that will charge them; ``pages`` answers requests.
"""
