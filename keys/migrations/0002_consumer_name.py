from django.db import migrations, models

import keys.validation


class Migration(migrations.Migration):

    dependencies = [
        ('keys', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='consumer',
            name='name',
            field=models.CharField(help_text='Unique name, sent to the upstream as X-Consumer.', max_length=190, unique=True, validators=[keys.validation.validate_name]),
        ),
    ]
