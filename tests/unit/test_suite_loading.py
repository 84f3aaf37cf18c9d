"""A suite file as data: lines, twins, `extends`, and files that are no suite."""

from __future__ import annotations

import pytest
from suite_texts import TEXT, content, problems, read, told, write

from harness.errors import SuiteError
from harness.suite.loading import read_document, spell


def test_each_value_knows_its_line(tmp_path):
    document = read_document(write(tmp_path, "suite: x\nmodels:\n  a:\n    - k: 1\n    - [2,\n       3]\n"))
    line = {spell(key): place[1] for key, place in document.places.items()}
    assert line == {
        "": 1,
        "suite": 1,
        "models": 2,
        "models.a": 3,
        "models.a[0]": 4,
        "models.a[0].k": 4,
        "models.a[1]": 5,
        "models.a[1][0]": 5,
        "models.a[1][1]": 6,
    }


def test_a_problem_without_a_place_of_its_own_stands_at_the_nearest_above(tmp_path):
    document = read_document(write(tmp_path, "suite: x\nmodels:\n  a: {}\n"))
    assert document.problem(("models", "a", "zoo"), "m").line == 3
    assert document.problem(("models", "b", "zoo"), "m").line == 2
    assert document.problem(("techniques",), "m").line == 1


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "is not a suite: it must be a mapping"),
        ("# nothing\n", 1, "is not a suite"),
        ("- a\n- b\n", 1, "is not a suite"),
        ("just words\n", 1, "is not a suite"),
        ("suite: x\n\tmodels: y\n", 2, "is not valid YAML: .*tab"),
        ("suite: x\nmodels:\n\tm: y\n", 3, "is not valid YAML: .*cannot start any token"),
        ("suite: [1, 2\n", 2, "is not valid YAML"),
        ("suite: 'x\n", 2, "is not valid YAML"),
        ("suite: x\n---\nsuite: y\n", 2, "is not valid YAML: .*another document"),
        ("suite: *a\n", 1, "is not valid YAML: .*undefined alias"),
        ('suite: "a\x01"\n', None, "is not valid YAML: .*control characters are not allowed$"),
        ("suite: x\n? [a, b]\n: 1\n", 2, "a key must be plain text"),
        (
            "suite: x\ndescription: !!python/name:os.system x\n",
            2,
            "cannot read 'x' as !!python/name:os.system",
        ),
        ("suite: x\ndescription: !!int seven\n", 2, "cannot read 'seven' as !!int"),
        ("suite: x\ndescription: !!bool maybe\n", 2, "cannot read 'maybe' as !!bool"),
        ("suite: x\ndescription: !!int ''\n", 2, "cannot read '' as !!int"),
        ("suite: &a [*a]\n", None, "an alias contains itself"),
    ],
)
def test_what_is_no_suite_is_refused_with_its_line(tmp_path, text, line, says):
    (problem,) = [p for p in problems(tmp_path, text) if p.where in ("", "suite", "models", "description")][
        :1
    ]
    assert problem.line == line
    assert problem.file == str(tmp_path / "s.yaml")
    with pytest.raises(SuiteError, match=says):
        read(tmp_path, text)
    assert "\n" not in str(problem)


def test_a_missing_file_a_folder_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(SuiteError, match=r"none\.yaml: no such suite file"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(SuiteError, match="cannot be read: Is a directory"):
        read_document(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\x80\x02\xff\x00")
    with pytest.raises(SuiteError, match=r"b\.yaml: is not UTF-8 text"):
        read_document(tmp_path / "b.yaml")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_document(tmp_path / "s.yaml").data["suite"] == "small"


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path):
    text = TEXT + "  eager: [{runtime: onnxruntime}]\nsuite: again\n"
    assert told(tmp_path, text) == [
        "s.yaml:14: techniques.eager: duplicate key, first defined in line 11",
        "s.yaml:15: suite: duplicate key, first defined in line 1",
    ]


def test_aliases_are_what_they_stand_for(tmp_path):
    document = read_document(write(tmp_path, "suite: x\na: &a [1, {k: v}]\nb: *a\n"))
    assert document.data["a"] == document.data["b"] == [1, {"k": "v"}]


def test_merge_keys_bring_what_they_stand_for_and_own_keys_win(tmp_path):
    text = "suite: x\na: &a {k: 1, l: 1}\nb: &b {l: 2, m: 2}\nc: {<<: [*a, *b], k: 3}\nd:\n  k: 4\n  <<: *b\n"
    document = read_document(write(tmp_path, text))
    assert document.data["c"] == {"k": 3, "l": 1, "m": 2}
    assert document.data["d"] == {"k": 4, "l": 2, "m": 2}
    assert document.problem(("c", "k"), "").line == 4
    assert (
        told(tmp_path, "suite: x\na: {<<: 5}\n")[0]
        == "s.yaml:2: a: << needs a mapping, or a list of mappings"
    )
    twice = "suite: x\na: &a {k: 1}\nb: {<<: *a, k: 2, k: 3}\n"
    assert told(tmp_path, twice)[0] == "s.yaml:3: b.k: duplicate key, first defined in line 3"


def test_aliases_of_aliases_are_refused_at_once(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{own}: &{own} [{', '.join(['*' + of] * 10)}]"
        for of, own in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    says = "s.yaml: has more than 100,000 values (each use of an alias counts)"
    assert told(tmp_path, "\n".join(lines)) == [says]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 0.0001),
        ("5E-1", 0.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1", -1),
        ("0o17", 15),
        ("0x1F", 31),
        ("0100", 100),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        *[(text, text) for text in ("no", "off", "yes", "on", "y", "N", "12:30", "1:20:30.5", "1_000")],
        *[(text, text) for text in ("0b11", "2024-01-02", "2024-13-45", "v1.2", "1.2.3", "<<", "=")],
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
    ],
)
def test_values_are_read_as_yaml_1_2_says(tmp_path, written, value):
    data = read_document(write(tmp_path, f"suite: x\na: {written}\nb: [{written}]\n")).data
    assert (data["a"], type(data["a"])) == (value, type(value))
    assert data["b"] == ([] if written == "" else [value])


def test_a_word_that_may_be_a_boolean_is_refused_among_a_functions_arguments(tmp_path):
    text = "suite: x\nm:\n  kwargs:\n    bias: {}\n"
    says = 's.yaml:4: m.kwargs.bias: Off may be a boolean or a name: write false, or "Off" in quotes'
    assert told(tmp_path, text.format("Off")) == [says]
    assert read_document(write(tmp_path, text.format("'Off'"))).data["m"]["kwargs"] == {"bias": "Off"}
    assert read_document(write(tmp_path, text.format("false"))).data["m"]["kwargs"] == {"bias": False}


def test_keys_are_names_as_they_are_written(tmp_path):
    names = ["no", "12:30", "1e3", "1.0", "0100", "true", "null", "2024-01-02"]
    data = read_document(write(tmp_path, "suite: x\na:\n" + "".join(f"  {name}: 1\n" for name in names))).data
    assert list(data["a"]) == names


def test_a_quoted_merge_key_is_a_name(tmp_path):
    assert read_document(write(tmp_path, "suite: x\na: {'<<': 3}\n")).data["a"] == {"<<": 3}


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 100_000, "a:\n" + "- " * 100_000 + "x", "a: " + "[" * 200 + "]" * 200]
)
def test_deep_nesting_is_refused_and_does_not_crash(tmp_path, text):
    """Whatever Python's own limit is, which some libraries raise."""
    (problem,) = problems(tmp_path, f"suite: x\n{text}\n")
    assert "nest" in problem.message


def test_a_tab_is_named(tmp_path):
    (line,) = told(tmp_path, "suite: x\nmodels:\n\tmlp: {zoo: mnist-mlp}\n")
    assert line.startswith("s.yaml:3: is not valid YAML: ")
    assert line.endswith("; YAML is indented with spaces, not tabs")


# ------------------------------------------------------------------ extends


def extend(folder, own, **bases):
    """The data of a suite over others, each written as NAME.yaml."""
    for name, data in bases.items():
        write(folder, data, f"{name}.yaml")
    return read_document(write(folder, own, "own.yaml"))


def test_a_suite_is_laid_over_another_mapping_by_mapping(tmp_path):
    own = {"extends": "base.yaml", "suite": "own", "a": {"y": {"q": 3}, "z": 4}, "l": [9]}
    base = {"suite": "base", "a": {"x": 1, "y": {"p": 2, "q": 2}}, "l": [1, 2, 3]}
    assert extend(tmp_path, own, base=base).data == {
        "suite": "own",
        "a": {"x": 1, "y": {"p": 2, "q": 3}, "z": 4},
        "l": [9],
    }


def test_a_null_removes_what_the_base_has_wherever_it_comes_from(tmp_path):
    own = {"extends": ["one.yaml", "two.yaml"], "a": {"x": None, "y": None}}
    data = extend(tmp_path, own, one={"a": {"x": 1, "k": 1}}, two={"a": {"y": 2}}).data
    assert data == {"a": {"k": 1}}


def test_a_null_that_removes_nothing_is_refused(tmp_path):
    write(tmp_path, content(), "base.yaml")
    text = "extends: base.yaml\ntechniques:\n  eagre: null\n"
    assert told(tmp_path, text) == ["s.yaml:3: techniques.eagre: found nothing; allowed: a list"]


def test_later_bases_win_and_chains_are_followed(tmp_path):
    data = extend(
        tmp_path,
        {"extends": ["one.yaml", "two.yaml"], "d": "own"},
        one={"a": 1, "b": 1, "c": 1, "d": 1},
        two={"extends": "three.yaml", "b": 2, "c": 2},
        three={"a": 3, "c": 3, "e": 3},
    ).data
    assert data == {"a": 3, "b": 2, "c": 2, "d": "own", "e": 3}


def test_bases_are_looked_for_beside_the_file_that_names_them(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path, {"suite": "top"}, "top.yaml")
    write(tmp_path, {"extends": "../top.yaml"}, "sub/mid.yaml")
    assert extend(tmp_path, {"extends": "sub/mid.yaml"}).data == {"suite": "top"}


def test_a_base_may_be_reached_on_two_ways(tmp_path):
    both = {"extends": ["one.yaml", "two.yaml"]}
    data = extend(tmp_path, both, one={"extends": "z.yaml"}, two={"extends": "z.yaml"}, z={"a": 1}).data
    assert data == {"a": 1}


@pytest.mark.parametrize(
    ("extends", "line", "where", "says"),
    [
        ("none.yaml", 2, "extends", "no such file: none.yaml"),
        (".", 2, "extends", "no such file: ."),
        ("[b.yaml, none.yaml]", 2, "extends[1]", "no such file: none.yaml"),
        ("own.yaml", 2, "extends", "a suite cannot extend itself: own.yaml"),
        ("5", 2, "extends", "must be a file name or a list of file names"),
        ("[5]", 2, "extends", "must be a file name or a list of file names"),
        ("null", 2, "extends", "must be a file name or a list of file names"),
        ("{a: b}", 2, "extends", "must be a file name or a list of file names"),
    ],
)
def test_an_extends_that_cannot_be_followed_is_refused(tmp_path, extends, line, where, says):
    write(tmp_path, {}, "b.yaml")
    write(tmp_path, {"a": 1}, "b.yaml")
    (problem,) = problems(tmp_path, f"suite: x\nextends: {extends}\n", "own.yaml")
    assert (problem.line, problem.where, problem.message) == (line, where, says)


def test_all_missing_bases_are_told_at_once(tmp_path):
    assert len(problems(tmp_path, "extends: [a.yaml, b.yaml]\n")) == 2


def test_a_ring_of_suites_is_refused_where_it_closes(tmp_path):
    write(tmp_path, "suite: b\nextends: a.yaml\n", "b.yaml")
    (problem,) = problems(tmp_path, "extends: b.yaml\n", "a.yaml")
    assert (problem.file, problem.line) == (str(tmp_path / "b.yaml"), 2)
    assert problem.message == "a suite cannot extend itself: a.yaml"


def test_a_fault_is_told_in_the_file_and_line_that_it_stands_in(tmp_path):
    write(tmp_path, TEXT.replace("batch: 8", "batch: 0"), "base.yaml")
    text = "extends: base.yaml\n# mine\nworkloads:\n  online: {batch: -1}\n"
    assert told(tmp_path, text) == [
        "base.yaml:7: workloads.bulk.batch: found 0; allowed: 1 or more",
        "s.yaml:4: workloads.online.batch: found -1; allowed: 1 or more",
    ]


def test_what_was_replaced_is_not_blamed_on_the_base(tmp_path):
    """`pruning_ratio` is in the base only: the file that replaced the step is to blame that it is missing."""
    base = TEXT + "  p: [{prune: {structure: channel, pruning_ratio: 0.5}}, {runtime: onnxruntime}]\n"
    write(tmp_path, base, "base.yaml")
    text = (
        "extends: base.yaml\ntechniques:\n  p:\n  - prune: {structure: channel}\n  - runtime: onnxruntime\n"
    )
    assert told(tmp_path, text) == ["s.yaml:4: techniques.p[0].prune.pruning_ratio: is missing"]


def test_a_fault_of_a_base_names_the_base(tmp_path):
    write(tmp_path, "suite: [", "base.yaml")
    (problem,) = problems(tmp_path, "extends: base.yaml\n")
    assert problem.file == str(tmp_path / "base.yaml")
