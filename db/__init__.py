"""The database: schema, migrations, writing, queries, read-only SQL, export."""
