"""Where the project's files are, and how they are written: whole or not at all, by one process at a time.

`paths` says where, and `paths.atomic` writes a file; `locks` lets one process at a time hold one; `cache.fetch` keeps
computed arrays under the digest of everything that decides them; `software` is what a reader needs to repeat a
result; `processes` end with whoever started them.

Imports no other room.
"""
