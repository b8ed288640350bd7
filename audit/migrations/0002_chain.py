"""Entries become links of a hash chain; those already there become the first ones."""

import django.utils.timezone
from django.db import migrations, models

from audit.chain import GENESIS, link_hash


def chain_what_is_there(apps, schema_editor):
    from audit.models import node_name

    entries = apps.get_model("audit", "AuditEntry").objects.using(schema_editor.connection.alias)
    heads = apps.get_model("audit", "ChainHead").objects.using(schema_editor.connection.alias)
    node, sequence, last = node_name(), 0, GENESIS
    for entry in entries.order_by("id").iterator():
        sequence += 1
        entry.node, entry.sequence, entry.previous_hash = node, sequence, last
        entry.hash = last = link_hash(entry)
        entry.save()
    if sequence:
        heads.create(node=node, sequence=sequence, hash=last)


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ChainHead',
            fields=[
                ('node', models.CharField(help_text='Whose chain.', max_length=100, primary_key=True, serialize=False)),
                ('sequence', models.PositiveBigIntegerField(default=0, help_text='Place of the last entry.')),
                ('hash', models.CharField(default='0000000000000000000000000000000000000000000000000000000000000000', help_text='Hash of the last entry.', max_length=64)),
            ],
            options={
                'db_table': 'audit_chain_heads',
            },
        ),
        migrations.CreateModel(
            name='ChainStub',
            fields=[
                ('node', models.CharField(help_text='Whose chain.', max_length=100, primary_key=True, serialize=False)),
                ('sequence', models.PositiveBigIntegerField(help_text='Place of the last entry taken away.')),
                ('hash', models.CharField(help_text='Hash of that entry.', max_length=64)),
                ('pruned_at', models.DateTimeField(default=django.utils.timezone.now, help_text='When it was taken away.')),
                ('signature', models.CharField(help_text='HMAC of node, place and hash.', max_length=64)),
            ],
            options={
                'db_table': 'audit_chain_stubs',
            },
        ),
        migrations.AddField(
            model_name='auditentry',
            name='hash',
            field=models.CharField(default='', editable=False, help_text='SHA-256 of this entry and the hash before.', max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='node',
            field=models.CharField(default='', editable=False, help_text='The node that wrote it.', max_length=100),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='previous_hash',
            field=models.CharField(default='', editable=False, help_text='Hash of the entry before.', max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='sequence',
            field=models.PositiveBigIntegerField(default=0, editable=False, help_text="Place in that node's chain, from 1."),
            preserve_default=False,
        ),
        migrations.RunPython(chain_what_is_there, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='auditentry',
            constraint=models.UniqueConstraint(fields=('node', 'sequence'), name='audit_logs_chain'),
        ),
    ]
