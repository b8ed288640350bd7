from typing import Any

from django.contrib.admin.widgets import AdminTextareaWidget

class UnfoldAdminTextareaWidget(AdminTextareaWidget):
    def __init__(self, attrs: dict[str, Any] | None = None) -> None: ...
