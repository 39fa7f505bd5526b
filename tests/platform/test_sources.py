"""The checks of the sources find what they are for."""

from __future__ import annotations

import ast

from bench import dead_code, house, styles


def test_nothing_of_the_product_is_without_a_user():
    found = {item.name for item in dead_code.unused()}
    assert found <= dead_code.ONLY_TESTED


def test_style_sheets_and_scripts_are_in_their_form():
    assert styles.untidy() == []


def test_a_style_sheet_of_one_line_would_be_found(tmp_path):
    sheet = tmp_path / "one.css"
    sheet.write_text("a{color:red;margin:0}\n")
    assert styles.tidy(sheet) == "a {\n  color: red;\n  margin: 0\n}\n"


def test_templates_grow_no_wider():
    assert len(styles.wide()) <= styles.WIDE_TODAY


def test_the_figures_of_the_house_count_what_they_say():
    text = "def f(x):\n    import os  # late\n    return 1 if x else (2 if os else 3)\n"
    source = house.Source(house.ROOT / "f.py", text, ast.parse(text))
    assert house.conditional_expressions(source) == 2
    assert house.nested_conditionals(source) == 1
    assert house.late_imports(source) == 1
    assert house.comments(source) == 1
    assert list(house.functions(source)) == [("f", 3)]
