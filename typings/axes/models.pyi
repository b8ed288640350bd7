from django.db import models

class AccessBase(models.Model):
    class Meta:
        abstract = True

class AccessFailureLog(AccessBase): ...
class AccessAttempt(AccessBase): ...
class AccessLog(AccessBase): ...

class AccessAttemptExpiration(models.Model):
    access_attempt: models.OneToOneField[AccessAttempt, AccessAttempt]
