import sys
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_mlops.errors import ArgumentError
from unified_mlops.filters import And, Comparison, Literal, Not, Or, parse, parse_order

FIELDS = {
    "display_name": str,
    "state": str,
    "create_time": datetime,
    "took": timedelta,
    "rows": float,
    "ok": bool,
    "labels": dict,
    "parent_contexts": list,
    "metadata": object,
}
RECORD = {
    "display_name": "churn daily",
    "state": "FAILED",
    "create_time": datetime(2026, 1, 31, 8, tzinfo=timezone.utc),
    "took": timedelta(seconds=90),
    "rows": 42,
    "ok": True,
    "labels": {"team": "ads", "a.b": "x", "AND": "y", "empty": ""},
    "parent_contexts": ["demo", "night"],
    "metadata": {
        "n": 2**53 + 1,
        "s": "5",
        "steps": [{"name": "fit"}, {"name": "test"}],
        "no": None,
    },
    "end_time": None,
    "count": 0,
    "naive": datetime(2026, 1, 31, 8),
}


def passes(text):
    return parse(text).matches(RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        'display_name = "churn daily"',
        "display_name='churn daily'",
        'display_name="churn*"',
        'display_name="*n d*"',
        'display_name = "*"',
        'display_name != "churn"',
        'display_name < "d"',
        'display_name:"churn daily"',
        "state=FAILED",
        "state = (SUCCEEDED OR FAILED)",
        "state != (SUCCEEDED AND RUNNING)",
        "state = (NOT SUCCEEDED)",
        "rows = 42",
        'rows = "42"',
        "rows = 4.2e1",
        "metadata.n != many",
        "ok != yes",
        "rows >= 42 rows <= 42 rows < 43 rows > -1",
        "rows = (-1 OR 42)",
        "metadata.n = 9007199254740993",
        "metadata.n != 9007199254740992",
        "ok = true",
        "ok != false",
        "took = 90s",
        "took > 89.5s",
        'create_time = "2026-01-31T08:00:00Z"',
        "create_time = 2026-01-31T09:00:00+01:00",
        "create_time < 2026-01-31T08:00:00.000001Z",
        "naive = 2026-01-31T08:00:00Z",
        "labels.team = ads",
        "labels.team:ads",
        "labels:team",
        "labels.team:*",
        "labels.empty:*",
        'labels."a.b" = x',
        "labels.AND = y",
        "labels:* parent_contexts:*",
        'parent_contexts:"demo"',
        "parent_contexts:(demo AND night)",
        "metadata.steps.name:fit",
        "metadata.n.number_value > 1e6",
        'metadata.s.string_value = "5"',
        "metadata.s = 5",
        "NOT labels.gone = 1",
        "-labels.gone:*",
        "NOT (state = A OR rows = 1)",
        "NOT(state = A)",
    ],
)
def test_it_passes(text):
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    ["metadata.n != many", "labels.a = 1", "ok:*", "create_time > 2026-01-31T09:00:00+01:00"],
)
def test_declared_types_refuse_nothing_that_fits(text):
    parse(text, FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        'display_name = "churn"',
        'display_name = "Churn daily"',
        r'display_name = "churn\*"',
        'display_name = "churn daily*y"',
        "rows = 43",
        "rows = many",
        "rows < many",
        "rows != 42.0",
        "ok = yes",
        "ok > false",
        "took = 90",
        "create_time < 2026-01-31T09:00:00+01:00",
        "create_time = 2026-01-31",
        "labels.gone = 1",
        "labels.gone != 1",
        "labels.gone:*",
        "gone:*",
        "count:*",
        "end_time:*",
        "end_time != 2026-01-31T08:00:00Z",
        "metadata.no:*",
        "labels = team",
        "parent_contexts = demo",
        "parent_contexts != demo",
        "parent_contexts:de",
        "metadata.steps.name = fit",
        "metadata.steps.0.name:fit",
        "metadata.s.number_value = 5",
        "ok.number_value = 1",
        "rows.number_value.number_value = 42",
    ],
)
def test_it_does_not_pass(text):
    assert not passes(text)


def test_or_binds_tighter_than_and_and_than_what_stands_side_by_side():
    a, b, c = (Comparison((name,), "=", Literal(("1",))) for name in "abc")
    assert parse("a=1 AND b=1 OR c=1").node == And((a, Or((b, c))))
    assert parse("a=1 b=1 OR c=1").node == And((a, Or((b, c))))
    assert parse("a=1 OR b=1 AND c=1").node == And((Or((a, b)), c))
    assert parse("(a=1 AND b=1) OR c=1").node == Or((And((a, b)), c))
    assert parse("-a=1 OR b=1").node == Or((Not(a), b))


def test_a_backend_sees_wildcards_apart_from_stars():
    assert parse(r'a = "x\**y"').node == Comparison(("a",), "=", Literal(("x*", "y")))


def test_the_tree_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        parse("a = 1").node.sign = "<"  # type: ignore[union-attr, misc]


@pytest.mark.parametrize(
    ("text", "column", "fact", "hint"),
    [
        ("stat = A", 1, "there is no field 'stat'", "did you mean 'state'?"),
        ("state = A other = 1", 11, "there is no field 'other'", "the fields are create_time"),
        ("state == A", 8, "'==' is no operator", "write ="),
        ("state = A and ok = true", 11, "'and' is no operator", "write AND"),
        ("state = A || ok = true", 11, "'||' is no operator", "write OR"),
        ("state", 6, "no operator stands here", "state followed by one of <= >="),
        ("state = ", 9, "nothing stands after '='", "write a value"),
        ("state = AND", 9, "AND stands where a value belongs", "put it in quotes"),
        ("state = a:b", 10, "':' cannot stand here", "in quotes"),
        ('state = "A', 9, "this quote has no end", 'close it with "'),
        (r'state = "A\q"', 11, r"unknown escape '\\q'", "the escapes are"),
        ("(state = A", 1, "this parenthesis has no end", "close it with )"),
        ("state = A)", 10, "this parenthesis closes nothing", "leave it out"),
        ("state = (A OR", 14, "nothing stands after '='", "write a value"),
        ("state = A OR", 13, "nothing stands where a field belongs", "name a field"),
        ("NOT NOT state = A", 5, "NOT stands where a field belongs", "name a field"),
        ("state. = A", 7, "' ' stands where a name after the dot belongs", "name a field"),
        ("regex(state)", 1, "there is no function 'regex'", "compare a field"),
        ("state = now()", 9, "a function cannot be a value", "the value itself"),
        ("create_time > today", 15, "'today' cannot be compared", "2026-01-31T08:00:00Z"),
        ("create_time > 2026-02-30T00:00:00Z", 15, "cannot be compared", "RFC 3339"),
        ("rows > many", 8, "'many' cannot be compared with 'rows'", "a number"),
        ("took > 5", 8, "'5' cannot be compared with 'took'", "1.5s"),
        ("ok = yes", 6, "'yes' cannot be compared with 'ok'", "true or false"),
        ("ok < true", 4, "has no order", "write ok = true"),
        ("labels = x", 8, "cannot be compared by '='", "labels:key or labels.key = value"),
        ("parent_contexts = x", 17, "cannot be compared", "parent_contexts:value"),
        ("state.x = 1", 9, "'state' has no fields of its own", "write state = …"),
    ],
)
def test_an_error_points_at_the_column_and_says_what_belongs_there(text, column, fact, hint):
    with pytest.raises(ArgumentError) as caught:
        parse(text, FIELDS)
    told, shown, caret = caught.value.fact.split("\n")
    assert told.startswith(f"filter {text!r}, column {column}: ")
    assert fact in told
    assert caret.index("^") == column + 1
    assert shown == f"  {text[: column + 59]}"
    assert hint in str(caught.value.hint)


def test_an_error_in_a_long_filter_shows_what_stands_around_the_column():
    with pytest.raises(ArgumentError) as caught:
        parse("state = A\n" * 1000 + "rows = 1 ]", FIELDS)
    told, shown, caret = caught.value.fact.split("\n")
    assert "column 10010: there is no field ']'" in told
    assert shown[caret.index("^")] == "]"
    assert len(told) < 250


def test_parentheses_without_end_are_refused_and_fill_no_stack():
    with pytest.raises(ArgumentError, match="column 51: more than 50 parentheses"):
        parse("(" * 100_000)


def test_a_function_that_is_given_is_called_with_the_record_and_its_arguments():
    def in_context(record, name):
        return name in record["parent_contexts"]

    known = {"in_context": in_context}
    assert parse('in_context("demo") AND rows = 42', FIELDS, known).matches(RECORD)
    assert not parse("in_context(other)", FIELDS, known).matches(RECORD)
    with pytest.raises(ArgumentError, match=r"no function 'inside'\n[^$]*in_context"):
        parse("inside(demo)", FIELDS, known)


def test_many_wildcards_in_a_long_text_take_no_time():
    assert not parse('a = "' + "*a" * 200 + '*b"').matches({"a": "a" * 100_000})


# --- what is printed is read again, and means what a naive evaluator says ---------------------

TEXTS = st.sampled_from(
    ["", "a", "ab", "b*", "*", "x y", '"', "\\", "AND", "1", "2.5", "true", "é"]
)
PATHS = st.sampled_from([("t",), ("n",), ("m", "k"), ("m", "a.b"), ("OR", "NOT"), ("l",), ("m",)])
LEAVES = st.builds(
    Comparison,
    PATHS,
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", ":"]),
    st.lists(TEXTS, min_size=1, max_size=3).map(lambda pieces: Literal(tuple(pieces))),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)
VALUES = st.one_of(TEXTS, st.integers(-3, 3), st.floats(), st.booleans(), st.none())
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "t": TEXTS,
        "n": VALUES,
        "l": st.lists(VALUES, max_size=3),
        "m": st.dictionaries(st.sampled_from(["k", "a.b", "a"]), VALUES),
        "OR": st.fixed_dictionaries({"NOT": VALUES}),
    },
)
SPACES = st.sampled_from([" ", "  ", "\n", "\t "])


def quote(text, mark):
    for plain in ("\\", mark, "*"):
        text = text.replace(plain, f"\\{plain}")
    return f"{mark}{text}{mark}"


def printed(node, draw):
    """A node as text: spacing, quotes, AND and needless parentheses as they come."""
    space = draw(SPACES)
    if isinstance(node, Comparison):
        mark = draw(st.sampled_from("\"'"))
        quoted = (
            name if name in ("k", "t", "n", "l", "m", "NOT") else quote(name, mark)
            for name in node.path
        )
        value = "*".join(quote(piece, mark)[1:-1] for piece in node.literal.pieces)
        between = draw(st.sampled_from(["", " "]))
        return f"{'.'.join(quoted)}{between}{node.sign}{between}{mark}{value}{mark}"
    if isinstance(node, Not):
        inner = printed(node.node, draw)
        inner = inner if isinstance(node.node, Comparison) else f"({inner})"
        return f"{draw(st.sampled_from(['-', f'NOT{space}']))}{inner}"
    joint = f"{space}OR{space}" if isinstance(node, Or) else None
    parts = []
    for item in node.nodes:
        bare = isinstance(item, Comparison | Not) or (isinstance(item, Or) and joint is None)
        parts.append(printed(item, draw) if bare else f"( {printed(item, draw)})")
    text = parts[0]
    for part in parts[1:]:
        text += (joint or draw(st.sampled_from([space, f"{space}AND{space}"]))) + part
    return text


def naive(node, record):
    if isinstance(node, Not):
        return not naive(node.node, record)
    if isinstance(node, And | Or):
        held = [naive(item, record) for item in node.nodes]
        return all(held) if isinstance(node, And) else any(held)
    value = record
    for name in node.path:
        value = value.get(name) if isinstance(value, dict) else None
    return naive_compare(value, node)


def naive_compare(value, node):
    sign, pieces = node.sign, node.literal.pieces
    if sign == ":" and pieces == ("", ""):
        return value is not None and (len(node.path) > 1 or bool(value))
    if isinstance(value, list | dict):
        each = [Comparison(("x",), "=", node.literal)] * len(value)
        return sign == ":" and any(map(naive_compare, value, each))
    sign = "=" if sign == ":" else sign
    text = "*".join(pieces)
    if value is None:
        return False
    if isinstance(value, bool):
        return {"=": text == str(value).lower(), "!=": text != str(value).lower()}.get(sign, False)
    if isinstance(value, str):
        pattern = "*".join(piece.replace("*", "[*]") for piece in pieces)
        equal, order = fnmatchcase(value, pattern), (value > text) - (value < text)
    else:
        wanted = {"1": 1, "2.5": 2.5}.get(text)
        if wanted is None or value != value:
            return sign == "!="
        equal, order = value == wanted, (value > wanted) - (value < wanted)
    return {
        "=": equal,
        "!=": not equal,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[sign]


@given(NODES, st.data())
def test_a_printed_tree_is_read_as_it_was(node, data):
    assert parse(printed(node, data.draw)).node == node


@given(NODES, RECORDS, st.data())
def test_a_filter_says_what_a_naive_evaluator_says(node, record, data):
    assert parse(printed(node, data.draw)).matches(record) == naive(node, record)


@given(LEAVES, RECORDS, st.data())
@settings(max_examples=500)
def test_a_comparison_says_what_a_naive_evaluator_says(node, record, data):
    assert parse(printed(node, data.draw)).matches(record) == naive(node, record)


@given(st.text(st.sampled_from("ab1 .*:=<>!()-\"'\\,\nANDORT"), max_size=40))
def test_any_other_text_is_refused_at_a_column_of_it(text):
    try:
        parse(text).matches(RECORD)
    except ArgumentError as error:
        column = int(error.fact.rpartition("column ")[2].partition(":")[0])
        assert 1 <= column <= len(text) + 1
        assert error.hint


# --- order_by ---------------------------------------------------------------------------------

JOBS = [
    {"name": "a", "time": datetime(2026, 1, 1), "m": {"k": 2}},
    {"name": "b", "time": datetime(2026, 1, 2, tzinfo=timezone.utc), "m": {"k": "x"}},
    {"name": "c", "time": None, "m": {"k": 1.5}},
    {"name": "d", "time": datetime(2026, 1, 1), "m": {}},
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "abcd"),
        ("name desc", "dcba"),
        ("time desc, name desc", "bdac"),
        ("time,name desc", "dabc"),
        ("  time   asc ,  name ", "adbc"),
        ("m.k", "cabd"),
        ("m.k desc", "bacd"),
    ],
)
def test_things_are_sorted_by_each_key_and_what_has_none_comes_last(text, names):
    order = parse_order(text, ["name", "time", "m"])
    assert "".join(job["name"] for job in order.sort(JOBS, dict)) == names


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("nam desc", 1, "did you mean 'name'?"),
        ("name down", 6, "write desc, asc or a comma"),
        ("name DESC", 6, "write desc"),
        ("name desc time", 11, "write a comma"),
        ("name,", 5, "leave it out"),
        (", name", 1, "name a field, such as name, time"),
    ],
)
def test_an_order_that_cannot_be_read_points_at_the_column(text, column, hint):
    with pytest.raises(ArgumentError, match=f"order_by .*column {column}: ") as caught:
        parse_order(text, ["time", "name"])
    assert hint in str(caught.value.hint)


def test_filters_bring_no_tool_with_them():
    import subprocess

    code = "import sys, unified_mlops.filters; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"mlflow", "pandas", "sqlalchemy"} & set(shown.stdout.split())
