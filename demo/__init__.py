"""Four small backends to try the gateway on; no part of the product imports them."""
