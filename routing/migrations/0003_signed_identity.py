from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0002_resilience'),
    ]

    operations = [
        migrations.AddField(
            model_name='service',
            name='signed_identity',
            field=models.BooleanField(default=False, help_text='Send the caller as a signed token too, in X-Gateway-Identity. Needs an asymmetric JWT_ALGORITHM; without a key its routes are closed.'),
        ),
    ]
