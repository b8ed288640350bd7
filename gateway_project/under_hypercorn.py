"""How hypercorn serves the gateway: ``--config file:gateway_project/under_hypercorn.py``.

Every answer has its ``Date`` already, and its ``Server`` is the origin's: hypercorn adds none.
"""

include_date_header = False
include_server_header = False
