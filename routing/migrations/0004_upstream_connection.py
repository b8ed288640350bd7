from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0003_signed_identity'),
    ]

    operations = [
        migrations.AddField(
            model_name='service',
            name='tls_ca_file',
            field=models.CharField(blank=True, help_text="PEM file of the authorities that are believed. Empty: the system's.", max_length=255, verbose_name='CA file'),
        ),
        migrations.AddField(
            model_name='service',
            name='tls_client_cert',
            field=models.CharField(blank=True, help_text='PEM file of the certificate the gateway shows. Empty: none.', max_length=255, verbose_name='client certificate'),
        ),
        migrations.AddField(
            model_name='service',
            name='tls_client_key',
            field=models.CharField(blank=True, help_text="PEM file of its key, unencrypted. Empty: in the certificate's file.", max_length=255, verbose_name='client key'),
        ),
        migrations.AddField(
            model_name='service',
            name='tls_server_name',
            field=models.CharField(blank=True, help_text="Name that is asked for (SNI) and verified. Empty: the instance's host.", max_length=253, verbose_name='server name'),
        ),
        migrations.AddField(
            model_name='service',
            name='tls_verify',
            field=models.BooleanField(default=True, help_text='Off believes any certificate: whoever is on the way can read and change all.', verbose_name='verify'),
        ),
        migrations.AddField(
            model_name='service',
            name='transport',
            field=models.CharField(choices=[('default', 'default'), ('native', 'native'), ('httpx', 'httpx')], default='default', help_text='What speaks to the instances: httpx where they are to be asked by HTTP/2. Default: what UPSTREAM_TRANSPORT says.', max_length=20),
        ),
        migrations.AddConstraint(
            model_name='service',
            constraint=models.CheckConstraint(condition=models.Q(('transport__in', ['default', 'native', 'httpx'])), name='services_transport'),
        ),
    ]
