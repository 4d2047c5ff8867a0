"""The fields of a record as expressions over the columns of its file, by a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recsys.errors import Invalid
from recsys.imports.readers.csv_table import SOURCE_TABLE
from recsys.imports.readers.json_table import json_value
from recsys.imports.readers.mapping import (
    ATTRIBUTE_PREFIX,
    ATTRIBUTES,
    IGNORED,
    ChildList,
    ColumnMapping,
    FileBeside,
    Joined,
    read_mapping,
    shipped_mappings,
)
from recsys.imports.readers.source_file import SourceFile
from recsys.imports.readers.sql import (
    category,
    elapsed,
    identifier,
    in_period,
    interaction_type,
    moment,
    money,
    pairs,
    quoted,
    translated,
    whole,
)

__all__ = ["choose_fields"]

RECORDS_TABLE = "records"
CHILDREN_TABLE = "children"
ITEM_PLACE = identifier("item.place")
MONEY = {"price", "compare_price", "interaction_value"}
_SHOWN_COLUMNS = 20


def choose_fields(
    source: SourceFile, path: Path, required: Sequence[str], optional: Sequence[str], mapping: ColumnMapping
) -> None:
    """Set `fields`, `table`, `unknown` and `notes` of the source.

    Parameters
    ----------
    source
        The file, whose columns are known.
    path
        The file in messages; files beside it lie in its folder.
    required, optional
        Names of fields.
    mapping
        Which columns are which fields.

    Raises
    ------
    Invalid
        A field is required and missing, in one line, with a shipped mapping that fits; or a column is there
        more than once.
    """
    chooser = _Chooser(source, mapping, path.parent)
    known = (*required, *optional)
    names = [name.split("\0", 1)[0] for name in source.columns]
    twice = sorted({name for name in chooser.wanted(known) if names.count(name) > 1})
    if twice:
        raise Invalid(f"{path} has the column {', '.join(twice)} more than once; keep one of them")
    fields = {name: expression for name in known if (expression := chooser.field(name)) is not None}
    missing = [name for name in required if name not in fields]
    if missing:
        listed = ", ".join(names[:_SHOWN_COLUMNS]) + (", …" if len(names) > _SHOWN_COLUMNS else "")
        raise Invalid(
            f"{path} has no column {', '.join(missing)}; it has: {listed}"
            f"{_hint(source, required, mapping, path.parent)}"
        )
    source.fields = fields
    source.used = chooser.used
    source.unknown = tuple(name for name in names if name.lower() not in chooser.used)
    rows = source.connection.table(SOURCE_TABLE).limit(1).fetchall()
    if not rows and not source.refused:
        source.notes.append(f"{source.name}: has the columns and no rows; nothing to import from it")
    looks_around = mapping.explode or mapping.group or mapping.beside
    if looks_around or mapping.types or mapping.required or mapping.absent:
        _materialise(source, mapping, chooser)


class _Chooser:
    """Finds columns of one file by the names of a mapping, and notes which it used."""

    def __init__(self, source: SourceFile, mapping: ColumnMapping, folder: Path) -> None:
        self._source = source
        self._mapping = mapping
        self.is_json = source.raw == "s.text"
        self.used: set[str] = set()
        children, parent = mapping.children, mapping.parent
        self._children = children if children and self._has(children.column) else None
        self._parent = parent if parent and self._has(parent.column) and self._has(parent.id_column) else None
        self._beside: dict[str, str] = {}
        self._joins: dict[str, str] = {}
        for number, other in enumerate(mapping.beside):
            if (folder / other.file).is_file() and self._has(other.column):
                self._join(folder / other.file, other, f"b{number}")

    def _has(self, column: str) -> bool:
        return column.lower() in self._source.columns

    def wanted(self, known: Sequence[str]) -> set[str]:
        """The names, in lower case, of the columns that the fields may be read from."""
        listed = [column for name in known for column in self._mapping.columns.get(name, [])]
        flat = [
            part for column in listed for part in (column.join if isinstance(column, Joined) else [column])
        ]
        own = [name for name in known if self._mapping.own_names and name not in self._mapping.columns]
        if ATTRIBUTES in known:
            own += self._attribute_names()
        return {name.lower() for name in (*flat, *own)}

    def column(self, name: str) -> str | None:
        """The expression of a column; None where the file has none of this name."""
        expression = self._column(name)
        if expression is None or not self._mapping.empty:
            return expression
        texts = ", ".join(quoted(text.lower()) for text in self._mapping.empty)
        return f"CASE WHEN lower(({expression})::VARCHAR) NOT IN ({texts}) THEN {expression} END"

    def _column(self, name: str) -> str | None:
        key = name.lower()
        pairs_key = self._mapping.pairs.lower() if self._mapping.pairs else None
        if pairs_key and self._has(pairs_key) and key.split(".")[0] == pairs_key:
            self.used.add(pairs_key)
            found = pairs(self._source.columns[pairs_key])
            return found if key == pairs_key else json_value(found, [name.partition(".")[2]])
        if key in self._beside:
            return self._beside[key]
        # only JSON has arrays; a flat file of the same export has the element's columns by themselves
        explode = self._mapping.explode if self.is_json else None
        if explode and key.startswith(f"{explode.lower()}."):
            self.used.add(explode.lower())
            return json_value("item", name[len(explode) + 1 :].split("."))
        # of `base`
        if (self._children and key.startswith("children.")) or (self._parent and key == "parent.product"):
            return identifier(key)
        expression = self._source.columns.get(key)
        if expression is None and self.is_json and "." in name:
            self.used.add(key.split(".")[0])
            return json_value("text", name.split("."))
        if expression is None:
            return None
        self.used.add(key)
        if name in self._mapping.fill_down and self._mapping.group:
            first = (
                f"first_value({expression} IGNORE NULLS) OVER ({self._group(self._mapping.group, 'line')})"
            )
            return f"coalesce({expression}, {first})"
        return expression

    def _group(self, columns: Sequence[str | Joined], order: str) -> str:
        """The window of the rows of one group; a row without a key is a group by itself."""
        keys = [f"({key})::VARCHAR" for column in columns if (key := self._part(column)) is not None]
        key = f"coalesce({', '.join([*keys, 'NULL'])})"
        return (
            f"PARTITION BY {key}, CASE WHEN {key} IS NULL THEN line END ORDER BY {order} "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
        )

    def field(self, name: str) -> str | None:
        """The expression of a field; None where the file has nothing for it."""
        value = self._own(name)
        if value is None or name not in self._mapping.from_head or not self._mapping.group:
            return value
        parent = self._own("variant_of")
        order = "line" if parent is None else f"{parent} IS NOT NULL, line"
        return f"coalesce(first_value({value}) OVER ({self._group(self._mapping.group, order)}), {value})"

    def _own(self, name: str) -> str | None:
        """The expression of a field by the row alone."""
        if name == ATTRIBUTES:
            return self._attributes()
        return self._plain(name)

    def _attribute_names(self) -> list[str]:
        """The fields `attributes.NAME`: those of the mapping, and the file's own columns of that form."""
        named = [field for field in self._mapping.columns if field.startswith(ATTRIBUTE_PREFIX)]
        if self._mapping.own_names:
            columns = (column.split("\0", 1)[0] for column in self._source.columns)
            named += [column for column in columns if column.startswith(ATTRIBUTE_PREFIX)]
        return list(dict.fromkeys(named))

    def _attributes(self) -> str | None:
        """A JSON object of all attributes of the row; an empty one is null in it, and so removed."""
        pairs = [
            f"{quoted(name.removeprefix(ATTRIBUTE_PREFIX))}, {value}"
            for name in self._attribute_names()
            if (value := self._plain(name)) is not None
        ]
        whole = self._plain(ATTRIBUTES)
        if not pairs:
            return whole
        single = f"json_object({', '.join(pairs)})::VARCHAR"
        if whole is None:
            return single
        merged = f"json_merge_patch({whole}, json_merge_patch('{{}}', {single}))::VARCHAR"
        # what is no JSON object stays as it is, to be refused
        return (
            f"CASE WHEN {whole} IS NULL THEN {single} WHEN NOT json_valid({whole}) THEN {whole} "
            f"WHEN json_type({whole}) = 'OBJECT' THEN {merged} "
            f"ELSE {whole} END"
        )

    def _plain(self, name: str) -> str | None:
        mapping = self._mapping
        columns = mapping.columns.get(name, [name] if mapping.own_names else [])
        found = [expression for column in columns if (expression := self._part(column)) is not None]
        if name in mapping.constants:
            found.append(quoted(mapping.constants[name]))
        if not found:
            return None
        value = f"coalesce({', '.join(found)})" if len(found) > 1 else found[0]
        if name == "created_at":
            return moment(value, mapping.date_format) if mapping.date_format else value
        value = f"({value})::VARCHAR"
        if name in MONEY and mapping.decimal:
            return money(value, mapping.decimal)
        if name == "stock" and mapping.round_stock:
            return whole(value)
        if name == "interaction_type" and mapping.types:
            return interaction_type(value, mapping.types)
        if name in mapping.values:
            return translated(value, mapping.values[name])
        if name == "tags" and mapping.tag_separator != "|":
            return f"replace({value}, {quoted(mapping.tag_separator)}, '|')"
        if name == "category":
            return category(value, mapping.category_separator, mapping.categories_separator)
        return value

    def _part(self, column: str | Joined) -> str | None:
        if isinstance(column, str):
            return self.column(column)
        parts = [self.column(name) for name in column.join]
        given = [f"({part})::VARCHAR" for part in parts if part is not None]
        if len(given) < len(parts):
            return None
        joined = f" || {quoted(column.separator)} || ".join(given)
        if column.matching:
            joined = f"nullif(regexp_extract({joined}, {quoted(column.matching)}), '')"
        if column.prefix or column.suffix:
            joined = f"({quoted(column.prefix)} || {joined} || {quoted(column.suffix)})"
        if column.during:
            bounds = [bound for name in column.during if (bound := self.column(name)) is not None]
            joined = f"CASE WHEN {in_period(bounds)} THEN {joined} END" if bounds else joined
        if not column.without_prefix:
            return joined
        length = len(column.without_prefix)
        return (
            f"CASE WHEN starts_with({joined}, {quoted(column.without_prefix)}) "
            f"THEN substr({joined}, {length + 1}) ELSE {joined} END"
        )

    def base(self) -> str:
        """The table of the records, with columns that come from other rows of the same file."""
        columns = "".join(["s.*", *(f", {alias}.*" for alias in self._joins)])
        joins = "".join(self._joins.values())
        product = self.field("product")
        if self._parent:
            named, key = self.column(self._parent.column), self.column(self._parent.id_column)
            columns += f", h.product AS {identifier('parent.product')}"
            joins += (
                f" LEFT JOIN (SELECT {quoted(self._parent.prefix)} || ({key})::VARCHAR AS name, "  # noqa: S608
                f"arg_min({product}, line) AS product FROM {SOURCE_TABLE} WHERE {key} IS NOT NULL GROUP BY 1"
                f") AS h ON h.name = ({named})::VARCHAR"
            )
        if self._children:
            self._list_children(self._children, product)
            options = (f"options[{place}] AS {identifier(f'children.option{place}')}" for place in (1, 2, 3))
            columns += f", c.parent AS {identifier('children.parent')}, {', '.join(options)}"
            joins += f" LEFT JOIN {CHILDREN_TABLE} AS c ON c.child = {product}"
        if self._mapping.explode and self.is_json:
            path = "$" + "".join(f".{identifier(part)}" for part in self._mapping.explode.split("."))
            items = f"json_extract(text, {quoted(path + '[*]')})"
            items = f"CASE WHEN len({items}) > 0 THEN {items} ELSE [NULL] END"
            columns += f", unnest({items}) AS item, generate_subscripts({items}, 1) AS {ITEM_PLACE}"
        base = f"(SELECT {columns} FROM {SOURCE_TABLE} AS s{joins})"  # noqa: S608
        return base if columns != "s.*" or joins else SOURCE_TABLE

    def _join(self, path: Path, other: FileBeside, alias: str) -> None:
        """Join the first row of another file with the same value in the column that both have."""
        connection = self._source.connection
        table = f"read_csv({quoted(str(path))}, header = true, all_varchar = true)"
        connection.execute(f"CREATE TABLE {alias} AS SELECT * FROM {table}")  # noqa: S608
        names = connection.table(alias).columns
        columns = {name.lower(): identifier(name) for name in names}
        if other.elapsed:
            columns["moment"] = elapsed(other.elapsed)
        listed = ", ".join(
            f"{expression} AS {identifier(f'{other.name}.{name}')}" for name, expression in columns.items()
        )
        shared = columns.get(other.column.lower())
        if shared is None:
            raise Invalid(f"{path} has no column {other.column}; it has: {', '.join(names)}")
        self._joins[alias] = (
            f" LEFT JOIN (SELECT DISTINCT ON ({shared}) {shared} AS {alias}_key, {listed} FROM {alias} "  # noqa: S608
            f"ORDER BY rowid) AS {alias} ON {alias}_key = ({self._column(other.column)})::VARCHAR"
        )
        for name in columns:
            self._beside[f"{other.name}.{name}"] = identifier(f"{other.name}.{name}")

    def _list_children(self, children: ChildList, product: str | None) -> None:
        """Make the table of the variants that products list: `child, parent, options`."""
        listed, id_key = self.column(children.column), quoted(children.id_key)
        pair = quoted("(?:^|,)([^,=]+)=([^,]*)")
        self._source.connection.execute(
            f"""CREATE OR REPLACE TABLE {CHILDREN_TABLE} AS
            WITH parts AS (
                SELECT line, {product} AS parent, unnest(string_split({listed}, '|')) AS part
                FROM {SOURCE_TABLE} WHERE {listed} IS NOT NULL
            ), pairs AS (
                SELECT line, parent, part, unnest(regexp_extract_all(part, {pair}, 1)) AS key,
                    unnest(regexp_extract_all(part, {pair}, 2)) AS value,
                    generate_subscripts(regexp_extract_all(part, {pair}, 1), 1) AS place
                FROM parts
            ), listed AS (
                SELECT line, parent, max(value) FILTER (key = {id_key}) AS child,
                    list(value ORDER BY place) FILTER (key <> {id_key}) AS options
                FROM pairs GROUP BY line, parent, part
            )
            SELECT child, arg_min(parent, line) AS parent, arg_min(options, line) AS options
            FROM listed WHERE child <> '' GROUP BY child"""  # noqa: S608
        )


def _materialise(source: SourceFile, mapping: ColumnMapping, chooser: _Chooser) -> None:
    """Write the records into a table: filling down and exploding look at the whole file."""
    if mapping.explode and chooser.is_json and (event := source.fields.get("event_id")):
        # one product twice in an order: the second element has an id of its own
        number = f"row_number() OVER (PARTITION BY line, {event} ORDER BY item::VARCHAR)"
        source.fields["event_id"] = f"CASE WHEN {number} > 1 THEN {event} || ':' || {number} ELSE {event} END"
    values = "".join(f", {expression} AS {identifier(name)}" for name, expression in source.fields.items())
    if mapping.explode and chooser.is_json:
        # the number above takes the rows out of their order
        values += f", {ITEM_PLACE}"
        source.order = f"line, {ITEM_PLACE}"
    base = chooser.base()
    conditions = [
        f"{expression} IS NOT NULL"
        for name in mapping.required
        if (expression := chooser.column(name)) is not None
    ] + [
        f"{expression} IS NULL" for name in mapping.absent if (expression := chooser.column(name)) is not None
    ]
    if "interaction_type" in source.fields:
        conditions.append(f"({source.fields['interaction_type']}) IS DISTINCT FROM {quoted(IGNORED)}")
    # values of the rows that are left out are filled down, too
    source.connection.execute(
        f"CREATE TABLE {RECORDS_TABLE} AS SELECT * EXCLUDE (is_kept) FROM (SELECT line, span{values}, "  # noqa: S608
        f"{' AND '.join(conditions) or 'true'} AS is_kept FROM {base}) WHERE is_kept"
    )
    lines = f"(SELECT count(DISTINCT line) FROM {RECORDS_TABLE})"  # noqa: S608
    (left_out,) = source.connection.sql(f"SELECT count(*) - {lines} FROM {SOURCE_TABLE}").fetchall()[0]  # noqa: S608
    if left_out:
        source.notes.append(f"{source.name}: {left_out} rows left out by the mapping")
    source.table = RECORDS_TABLE
    source.fields = {name: identifier(name) for name in source.fields}


def _hint(source: SourceFile, required: Sequence[str], mapping: ColumnMapping, folder: Path) -> str:
    """Which shipped mapping fits the file, or how to name its columns."""
    if not mapping.own_names:
        absent = [other.file for other in mapping.beside if not (folder / other.file).is_file()]
        return f"; put {' and '.join(absent)} beside it" if absent else ""
    for name in shipped_mappings():
        for kind, shipped in read_mapping(name).items():
            chooser = _Chooser(source, shipped, folder)
            if set(required) <= set(shipped.columns) | set(shipped.constants) and all(
                chooser.field(field) is not None for field in required
            ):
                return f"; it looks like {name} ({kind}): add --mapping {name}"
    hint = "; name columns with --map THEIRS=OURS"
    return f"{hint}, or add --no-times if the file has none" if "created_at" in required else hint
