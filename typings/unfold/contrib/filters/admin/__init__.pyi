from unfold.contrib.filters.admin.autocomplete_filters import (
    AutocompleteSelectFilter as AutocompleteSelectFilter,
)
