"""Mappings of the files that shops really export, one TOML file each: `recsys.imports.readers.mapping`."""

__all__: list[str] = []
