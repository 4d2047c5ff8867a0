"""Column mappings: how columns of a file become fields; from options, a TOML file or a shipped mapping."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = [
    "ATTRIBUTES",
    "ATTRIBUTE_PREFIX",
    "IGNORED",
    "ChildList",
    "ColumnMapping",
    "Elapsed",
    "FileBeside",
    "Joined",
    "ParentReference",
    "check_types",
    "chosen_mappings",
    "option_pairs",
    "read_mapping",
    "shipped_mappings",
]

IGNORED = "ignore"
ATTRIBUTES = "attributes"
"""The field of a product's attributes, a JSON object; a field `attributes.NAME` is one of its keys."""
ATTRIBUTE_PREFIX = f"{ATTRIBUTES}."
KINDS = ("users", "products", "interactions")


class Joined(BaseModel):
    """Several columns joined to one text, or one without a prefix; null where one of them is empty.

    Attributes
    ----------
    join
        The columns.
    separator
        What is put between them.
    without_prefix
        The prefix that is taken away.
    prefix, suffix
        What is put around the text.
    matching
        The part of the text that counts, a regular expression; null where nothing matches.
    during
        The columns of a period (one with `FROM/UNTIL`, or one for each); null outside of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    join: list[str] = Field(min_length=1)
    separator: str = ":"
    without_prefix: str = ""
    prefix: str = ""
    suffix: str = ""
    matching: str | None = None
    during: list[str] = Field(default=[], max_length=2)


class ChildList(BaseModel):
    """A column in which a product lists its variants, as `sku=A-S,size=S|sku=A-M,size=M`.

    Their rows then have the columns `children.parent` and `children.option1` to `children.option3`: the
    values beside `id_key`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    id_key: str = "sku"


class ParentReference(BaseModel):
    """A column in which a variant names the row of its product, as `id:12` by `id_column`.

    The row of the variant then has the column `parent.product`: the product's own id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    id_column: str
    prefix: str = ""


class Elapsed(BaseModel):
    """Times of a table without dates: days since the former row of the same owner, and hours of the day.

    The first row of each owner is on the day `start`. The row then has the column `FILE.moment`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: str
    hour: str
    owner: str
    order: str
    start: date


class FileBeside(BaseModel):
    """Another CSV file in the same folder, found by the value of a column that both have.

    Its columns are `NAME.COLUMN` of the row, where NAME is that of the file without its endings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=r"^[\w-]+\.csv$")
    column: str
    elapsed: Elapsed | None = None

    @property
    def name(self) -> str:
        """What its columns begin with."""
        return self.file.split(".", 1)[0]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


Columns = Annotated[list[str | Joined], BeforeValidator(_as_list), Field(min_length=1)]


class ColumnMapping(BaseModel):
    """The mapping of one kind of file.

    Attributes
    ----------
    columns
        Field → a column, several columns (the first with a value counts), or columns to join;
        `attributes.NAME` is an attribute of products.
    constants
        Field → a text for every row.
    types
        Value in the file → interaction type or `ignore`; `*` stands for every other value.
    values
        Field → value in the file → text of the field; `*` stands for every other value.
    fill_down
        Columns whose value is only in the first row of a group.
    group
        The column, or the first of several, that says which rows belong together.
    from_head
        Fields whose value is that of the group's row without `variant_of`; not beside `fill_down`.
    children
        The column in which products list their variants.
    parent
        The column in which variants name the row of their product.
    beside
        Files in the same folder with further columns.
    pairs
        A column of pairs `colour=red,size=M`, which are its columns `PAIRS.colour` and `PAIRS.size`.
    explode
        The JSON array whose elements become rows; its columns are written `array.column`. An object without
        elements is one row.
    header
        The columns of files without a header line, which have as many columns and a number in the first.
    empty
        Texts that stand for nothing.
    required
        Columns; rows that lack one of them are skipped.
    absent
        Columns; rows that have one of them are skipped.
    decimal
        The decimal mark; currency signs and the other mark between thousands are then left out.
    date_format
        Of `created_at`, as for strftime.
    tag_separator, category_separator
        Between tags, and between the levels of a category.
    categories_separator
        The characters between several categories, of which the deepest counts, the first of several such; a
        character behind a backslash is text.
    round_stock
        Whether parts of pieces are left out of `stock`, and less than nothing is nothing.
    own_names
        Whether a column with the name of a field is that field without being listed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, Columns] = {}
    constants: dict[str, str] = {}
    types: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    fill_down: list[str] = []
    group: Columns | None = None
    from_head: list[str] = []
    children: ChildList | None = None
    parent: ParentReference | None = None
    beside: list[FileBeside] = []
    pairs: str | None = None
    explode: str | None = None
    header: list[list[str]] = []
    empty: list[str] = []
    required: list[str] = []
    absent: list[str] = []
    decimal: str | None = Field(default=None, pattern=r"^[.,]$")
    date_format: str | None = None
    tag_separator: str = "|"
    category_separator: str = ">"
    categories_separator: str | None = None
    round_stock: bool = False
    own_names: bool = False

    @model_validator(mode="after")
    def _one_way_to_fill(self) -> ColumnMapping:
        if self.fill_down and self.from_head:
            raise ValueError("either fill_down or from_head, not both")
        if (self.fill_down or self.from_head) and not self.group:
            raise ValueError("fill_down and from_head need a group")
        return self


class _MappingFile(BaseModel):
    """A mapping file: its description, and a mapping for each kind of file."""

    model_config = ConfigDict(extra="forbid")

    description: str = ""
    users: ColumnMapping | None = None
    products: ColumnMapping | None = None
    interactions: ColumnMapping | None = None


def shipped_mappings() -> dict[str, str]:
    """The names of the shipped mappings with their descriptions."""
    return {
        file.name.removesuffix(".toml"): str(tomllib.loads(file.read_text("utf-8"))["description"])
        for file in sorted(files("recsys.imports.mappings").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


def read_mapping(name: str) -> dict[str, ColumnMapping]:
    """The mappings by kind of file, from the shipped mapping of this name or the TOML file at this path.

    Raises
    ------
    Invalid
        The file is missing or not a mapping.
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
        raise Invalid(f"--mapping {name} is not a TOML file ({error})") from error
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
    """Raise Invalid for an unknown interaction type."""
    for word, interaction_type in types.items():
        if interaction_type not in (*INTERACTION_TYPES, IGNORED):
            known = ", ".join(INTERACTION_TYPES)
            raise Invalid(
                f"{where}: {word}={interaction_type}: {interaction_type} is not one of {known}, {IGNORED}"
            )


def chosen_mappings(
    kinds: Mapping[str, Collection[str]],
    mapping: str | None,
    columns: Sequence[str],
    types: Sequence[str],
    decimal: str | None,
    date_format: str | None,
) -> dict[str, ColumnMapping]:
    """The mapping of each kind of file; options on the command line override the named mapping.

    Parameters
    ----------
    kinds
        The kinds of the files with their fields.
    mapping
        Name of a shipped mapping, or path of a TOML file.
    columns, types
        Texts THEIRS=OURS.
    decimal
        The decimal mark, `.` or `,`.
    date_format
        Of `created_at`, as for strftime.

    Raises
    ------
    Invalid
        A field, a type or the decimal mark is unknown, or the named mapping is for other kinds of files.
    """
    named = read_mapping(mapping) if mapping else {}
    if named and not set(named) & set(kinds):
        raise Invalid(f"--mapping {mapping} is for {', '.join(named)}; no file of these kinds was given")
    by_field = {ours: theirs for theirs, ours in option_pairs("--map", columns).items()}
    every_field = {name for names in kinds.values() for name in names}
    for name in by_field:
        if not any(_is_field(name, names) for names in kinds.values()):
            known = ", ".join(sorted(every_field))
            raise Invalid(f"--map {by_field[name]}={name}: {name} is not one of {known}")
    words = option_pairs("--type", types)
    check_types("--type", words)
    if decimal not in (None, ".", ","):
        raise Invalid(f"--decimal {decimal!r} is neither . nor ,")
    chosen = {}
    for kind, names in kinds.items():
        base = named.get(kind, ColumnMapping(own_names=True))
        for name in (*base.columns, *base.constants, *base.values, *base.from_head):
            if not _is_field(name, names):
                raise Invalid(f"--mapping {mapping}: {kind}: {name} is not one of {', '.join(sorted(names))}")
        stated: dict[str, list[str | Joined]] = {
            # where a file lacks the column, a column with the name of the field serves
            name: [theirs, *base.columns.get(name, [name])]
            for name, theirs in by_field.items()
            if _is_field(name, names)
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


def _is_field(name: str, fields: Collection[str]) -> bool:
    """Whether a kind of file has this field; with `attributes`, each `attributes.NAME` is one."""
    is_attribute = len(name) > len(ATTRIBUTE_PREFIX) and name.startswith(ATTRIBUTE_PREFIX)
    return name in fields or (is_attribute and ATTRIBUTES in fields)


def option_pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`left=right` of each option. Raises Invalid for a text without an equals sign."""
    split = [text.partition("=") for text in given]
    for text, (left, _, right) in zip(given, split, strict=True):
        if not left.strip() or not right.strip():
            raise Invalid(f"{option} {text!r} is not of the form {option} THEIRS=OURS")
    return {left.strip(): right.strip() for left, _, right in split}
