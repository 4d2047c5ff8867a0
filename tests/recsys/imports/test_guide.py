"""The commands of docs/import.md, run on the files that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from recsys.imports.readers.mapping import shipped_mappings
from tests.recsys.imports.desk import Desk

PAGE = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`([\w.]+)`:\n\n```\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```sh\nrecsys (.*?)\n```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_command_of_the_guide_works(desk: Desk) -> None:
    for name, content in FILES:
        (desk.shop.var / name).write_text(content, encoding="utf-8")
    assert len(COMMANDS) == PAGE.count("```sh") >= 6
    for command in COMMANDS:
        done = desk.shop.run(*shlex.split(command))
        assert done.returncode == 0, (command, done.stderr)
        assert "refused rows, with line numbers" not in done.stdout, command
    assert desk.rows("SELECT sku, name, price::text FROM products_db.products ORDER BY sku") == [
        ("LAMP", "Lamp", "20.00"),
        ("MUG", "Mug", "8.00"),
        ("SHIRT", "Shirt", "19.90"),
        ("TEA-100", "Green Tea", "1003.50"),
        ("oolong", "Oolong", "3.50"),
    ]
    assert desk.rows("SELECT dimensions FROM products_db.products WHERE sku = 'LAMP'") == [
        ({"colour": "red", "socket": "E27", "material": "steel"},)
    ]
    # the same clicks by options and by the mapping file are the same events
    assert desk.number("recommendations_db.user_interactions") == 3 + 1


def test_the_guide_names_every_shipped_mapping() -> None:
    assert all(f"`{name}`" in PAGE for name in shipped_mappings())
