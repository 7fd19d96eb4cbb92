"""``lemon balance``: how much money is left."""

from __future__ import annotations

from typing import Any

import click

from ._options import json_option
from ._reading import asking, asking_options, show


@click.command()
@json_option("Print JSON.")
@asking_options
def balance(**options: Any) -> int:
    """Show how much money the account has left. Asking is free.

    It takes a management token, which is not the API key: it is read from LEMONDATA_MANAGEMENT_TOKEN.
    """
    with asking(options, manages=True) as lemon:
        show(lemon.balance())
    return 0
