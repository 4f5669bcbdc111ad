"""The version of the schema, where it is told without SQLAlchemy."""

from __future__ import annotations

SCHEMA_VERSION = "0005"
