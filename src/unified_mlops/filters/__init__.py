r"""The language of `list(filter=…, order_by=…)`: Google's AIP-160 and AIP-132, as Vertex has it.

    display_name = "churn*" AND state = (PIPELINE_STATE_FAILED OR PIPELINE_STATE_CANCELLED)
    create_time >= "2026-01-31T08:00:00Z" -labels.team:ads
    metadata.rows.number_value > 1e6 OR parent_contexts:"demo"

**Grammar.** `OR` binds tighter than `AND`, restrictions side by side are joined by `AND`, `-` is
`NOT`. A path goes through maps by `.`; a key with other characters stands in quotes. Escapes in
quotes are `\n \t \r \\ \" \' \*`. A value alone, without a field, is refused.

**Values.** The value in the record decides how the text of the filter is read, in quotes or not:

- text: `=`, `!=` and `:` know `*` as any text (`\*` is a star); `<` and others go by code points;
- numbers, also in `1e6`; `true` and `false`, only with `=` and `!=`; durations as `1.5s`;
  moments as RFC 3339, where one without a zone in the record is UTC.
- What cannot be read as the record's type equals nothing: only `!=` holds. For a field whose type
  is declared it is an error instead.
- What is not there, or None, meets no comparison, not even `!=`; `NOT a = 1` holds then.
- Maps and lists meet `:` alone. `m:k` and `m.k:*` are a key that is there, `r:42` an element,
  `r.f:42` an element whose `f` is 42; `a:*` is a field that is neither empty, zero nor false.
- `number_value`, `string_value` and `bool_value` at the end of a path, as Vertex writes them for
  metadata, are the value itself where it is of that type.
"""

from __future__ import annotations

from unified_mlops.filters.nodes import And, Call, Comparison, Filter, Literal, Node, Not, Or
from unified_mlops.filters.order import Key, Order, parse_order
from unified_mlops.filters.parser import parse

__all__ = [
    "And",
    "Call",
    "Comparison",
    "Filter",
    "Key",
    "Literal",
    "Node",
    "Not",
    "Or",
    "Order",
    "parse",
    "parse_order",
]
