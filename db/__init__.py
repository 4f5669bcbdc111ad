"""What is known: schema, migrations, writing, queries, read-only SQL, export."""
