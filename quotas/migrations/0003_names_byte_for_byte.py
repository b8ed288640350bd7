"""On MySQL and MariaDB, names in the history are compared byte for byte.

Their default collation takes ``user:Bob`` for ``user:bob``: one caller's counts would be written
over the other's. SQLite and PostgreSQL compare bytes anyway, and would not know the collation, so
it is no part of the models' state: a later AlterField of these columns must do this again.
"""

from django.db import migrations

_COLUMNS = {
    "rate_limit_records": {"identifier": 190, "route": 100},
    "rate_limit_rollups": {"identifier": 190, "route": 100},
}


def compare_bytes(apps, schema_editor):
    if schema_editor.connection.vendor != "mysql":
        return
    for table, columns in _COLUMNS.items():
        changes = ", ".join(
            f"MODIFY {name} varchar({size}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
            for name, size in columns.items()
        )
        schema_editor.execute(f"ALTER TABLE {table} {changes}")


class Migration(migrations.Migration):
    dependencies = [("quotas", "0002_plans_and_sums")]
    # Not in a transaction: these databases cannot take back a change of a table.
    operations = [migrations.RunPython(compare_bytes, migrations.RunPython.noop, atomic=False)]
