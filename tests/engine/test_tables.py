import numpy as np
import pytest

from stempede.arrow import from_arrow
from stempede.errors import ResultsError
from stempede.particles import group_tables
from stempede.particles.classify import tables as class_tables
from stempede.tables import FRAMES, MISSING, PARTICLES, SCHEMAS, Field, Schema, Table, declare

SCHEMA = Schema(
    "things",
    (
        Field("frame", "int64"),
        Field("size_nm", "float64", "nm", "how big"),
        Field("group", "int64", nullable=True),
        Field("name", "string"),
        Field("accepted", "bool"),
    ),
)


def test_absent_fields_are_missing_and_null_on_disk():
    table = Table(SCHEMA, {"frame": [3, 5]})
    assert np.isnan(table["size_nm"]).all()
    assert (table["group"] == MISSING).all()
    arrow = table.to_arrow()
    assert arrow.column("group").null_count == 2
    assert arrow.column("name").null_count == 2
    assert arrow.column("accepted").to_pylist() == [False, False]


def test_arrow_round_trip_keeps_values_units_and_missing_entries():
    table = Table(
        SCHEMA,
        {
            "frame": [0, 1, 2],
            "size_nm": [1.5, np.nan, 2.5],
            "group": [4, MISSING, 0],
            "name": ["a", "", "µ"],
            "accepted": [True, False, True],
        },
    )
    arrow = table.to_arrow()
    assert arrow.schema.field("size_nm").metadata[b"unit"] == b"nm"
    back = from_arrow(SCHEMA, arrow)
    for name in SCHEMA.names:
        np.testing.assert_array_equal(back[name], table[name])


def test_table_of_no_rows_has_every_field():
    for schema in SCHEMAS.values():
        arrow = Table.empty(schema).to_arrow()
        assert arrow.num_rows == 0
        assert tuple(arrow.column_names) == schema.names


def test_concat_and_take_keep_order():
    one = Table(SCHEMA, {"frame": [0, 1], "name": ["a", "b"]})
    two = Table(SCHEMA, {"frame": [2], "name": ["c"]})
    both = Table.concat([one, two])
    assert both["name"].tolist() == ["a", "b", "c"]
    assert both.take(both["frame"] > 0)["frame"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "words"),
    [({"colour": [1]}, "no field colour"), ({"frame": [1], "name": ["a", "b"]}, "length")],
)
def test_wrong_columns_are_named(columns, words):
    with pytest.raises(ResultsError, match=words):
        Table(SCHEMA, columns)


def test_a_name_is_declared_once():
    with pytest.raises(ResultsError, match="declared twice"):
        declare(Schema("particles", (Field("frame", "int64"),)))
    assert declare(PARTICLES) is PARTICLES


def test_every_length_and_area_stands_in_px_and_in_nm():
    names = set(PARTICLES.names)
    lengths = {n for n in names if n.endswith(("_nm", "_nm2"))}
    assert len(lengths) == 14
    assert {n.replace("_nm", "_px") for n in lengths} <= names


def test_units_follow_the_suffix():
    suffixes = {"_px": "px", "_nm": "nm", "_deg": "deg", "_px2": "px^2", "_nm2": "nm^2"}
    for schema in (FRAMES, PARTICLES):
        for field in schema.fields:
            for suffix, unit in suffixes.items():
                if field.name.endswith(suffix) and field.dtype == "float64":
                    assert field.unit == unit, field.name


def test_every_field_of_groups_and_classes_says_what_it_is():
    for module in (group_tables, class_tables):
        schemas = [v for v in vars(module).values() if isinstance(v, Schema)]
        assert schemas
        for schema in schemas:
            assert [f.name for f in schema.fields if not f.doc] == [], schema.name
