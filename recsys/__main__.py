"""`python -m recsys` is the `recsys` command."""

from __future__ import annotations

from recsys.cli import main

main()
