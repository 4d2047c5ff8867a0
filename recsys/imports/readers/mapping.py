"""How columns of a foreign file become fields of ours: from options, a TOML file, or one that ships."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = [
    "IGNORED",
    "ColumnMapping",
    "Joined",
    "check_types",
    "chosen_mappings",
    "option_pairs",
    "read_mapping",
    "shipped_mappings",
]

IGNORED = "ignore"
KINDS = ("users", "products", "interactions")


class Joined(BaseModel):
    """Several columns as one text; nothing where one of them is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    join: list[str] = Field(min_length=1)
    separator: str = ":"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Columns = Annotated[list[str | Joined], BeforeValidator(_as_list), Field(min_length=1)]


class ColumnMapping(BaseModel):
    """What one kind of file is read as.

    columns : field → the column, the columns of which the first with a value counts, or columns to join
    constants : field → the text that every row has
    types : word of the file → interaction type, or `ignore`; `*` stands for every other word
    fill_down : columns whose value stands in the first row of a group only
    group : the column that says which rows belong together
    explode : the JSON array whose elements become rows; its columns are written `array.column`
    required : columns without which a row is left out
    decimal : the decimal mark; currency signs and the other mark between thousands are then left out
    date_format : of `created_at`, as for strftime
    tag_separator, category_separator : what stands between tags, and between the levels of a category
    categories_separator : what stands between several categories, of which the first counts
    own_names : whether columns that have the name of a field are that field without being listed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, Columns] = {}
    constants: dict[str, str] = {}
    types: dict[str, str] = {}
    fill_down: list[str] = []
    group: str | None = None
    explode: str | None = None
    required: list[str] = []
    decimal: str | None = Field(default=None, pattern=r"^[.,]$")
    date_format: str | None = None
    tag_separator: str = "|"
    category_separator: str = ">"
    categories_separator: str | None = None
    own_names: bool = False


class _MappingFile(BaseModel):
    """A mapping file: what it is for, and a mapping for each kind of file."""

    model_config = ConfigDict(extra="forbid")

    description: str = ""
    users: ColumnMapping | None = None
    products: ColumnMapping | None = None
    interactions: ColumnMapping | None = None


def shipped_mappings() -> dict[str, str]:
    """The names of the mappings that ship, with what each is for."""
    return {
        file.name.removesuffix(".toml"): str(tomllib.loads(file.read_text("utf-8"))["description"])
        for file in sorted(files("recsys.imports.mappings").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


def read_mapping(name: str) -> dict[str, ColumnMapping]:
    """The mappings by kind of file, from the one that ships under this name or the TOML file of this path.

    Raises Invalid in one line for a file that is none.
    """
    shipped = files("recsys.imports.mappings") / f"{name}.toml"
    if "/" not in name and shipped.is_file():
        text = shipped.read_text("utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text("utf-8")
    else:
        known = ", ".join(shipped_mappings())
        raise Invalid(f"--mapping {name} is neither a file nor one of {known}")
    try:
        document = _MappingFile.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"--mapping {name} is no TOML file ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Invalid(f"--mapping {name}: {place}: {first['msg']}") from error
    found = {kind: getattr(document, kind) for kind in KINDS}
    mappings = {kind: mapping for kind, mapping in found.items() if mapping is not None}
    for kind, mapping in mappings.items():
        check_types(f"--mapping {name}, {kind}", mapping.types)
    return mappings


def check_types(where: str, types: Mapping[str, str]) -> None:
    """Raise Invalid for a type that is none of ours."""
    for word, meant in types.items():
        if meant not in (*INTERACTION_TYPES, IGNORED):
            known = ", ".join(INTERACTION_TYPES)
            raise Invalid(f"{where}: {word}={meant}: {meant} is none of {known}, {IGNORED}")


def chosen_mappings(
    kinds: Mapping[str, Collection[str]],
    mapping: str | None,
    columns: Sequence[str],
    types: Sequence[str],
    decimal: str | None,
    date_format: str | None,
) -> dict[str, ColumnMapping]:
    """The mapping of each kind of file: what a person said on the command line wins over the named one.

    `kinds` has the kinds of files that are given with their fields; `columns` and `types` are texts
    THEIRS=OURS. Raises Invalid in one line for what cannot be meant.
    """
    named = read_mapping(mapping) if mapping else {}
    if named and not set(named) & set(kinds):
        raise Invalid(f"--mapping {mapping} is for {', '.join(named)}, and no such file is given")
    by_field = {ours: theirs for theirs, ours in option_pairs("--map", columns).items()}
    every_field = {name for names in kinds.values() for name in names}
    for name in by_field.keys() - every_field:
        raise Invalid(f"--map {by_field[name]}={name}: {name} is none of {', '.join(sorted(every_field))}")
    words = option_pairs("--type", types)
    check_types("--type", words)
    if decimal not in (None, ".", ","):
        raise Invalid(f"--decimal {decimal!r} is neither . nor ,")
    chosen = {}
    for kind, names in kinds.items():
        base = named.get(kind, ColumnMapping(own_names=True))
        stated: dict[str, list[str | Joined]] = {
            # where a file lacks the column, one that has the name of the field is the field
            name: [theirs, *base.columns.get(name, [name])]
            for name, theirs in by_field.items()
            if name in names
        }
        chosen[kind] = base.model_copy(
            update={
                "columns": {**base.columns, **stated},
                "types": {**base.types, **words} if "interaction_type" in names else base.types,
                "decimal": decimal or base.decimal,
                "date_format": date_format or base.date_format,
            }
        )
    return chosen


def option_pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`left=right` of each option. Raises Invalid for one without an equals sign."""
    split = [text.partition("=") for text in given]
    for text, (left, _, right) in zip(given, split, strict=True):
        if not left.strip() or not right.strip():
            raise Invalid(f"{option} {text!r} is not of the form {option} THEIRS=OURS")
    return {left.strip(): right.strip() for left, _, right in split}
