"""Hierarchies from csv files, row by row, and from the embedded sets."""

import pytest

from geomclip.errors import RequestError
from geomclip.hierarchy import Hierarchy


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_edges_with_columns_in_any_order_and_nodes_alone(tmp_path):
    text = 'note,parent,child\n,animal,dog\n,"animal",cat\nits root,,animal\n'
    h = Hierarchy.read(write(tmp_path / "tree.csv", text))
    assert h.names == ("dog", "cat", "animal") and h.is_tree and h.title == "tree.csv"


def test_published_closures_and_tabs_are_read(tmp_path):
    h = Hierarchy.read(write(tmp_path / "c.csv", "id1,id2,weight\na,b,1\na,c,1\nb,c,1\n"))
    assert len(h.closure) == 3 and len(h.reduced().up) == 2
    h = Hierarchy.read(write(tmp_path / "t.tsv", "child\tparent\na, b\tc\n"))
    assert h.names == ("a, b", "c")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a,b\nx,y\n", "no columns child and parent (it has: a, b)"),
        ("child,parent\nx,y\nz,z\n", 'row 3: "z" is its own parent'),
        ("child,parent\nx,y\n\nx,y\n", 'row 4: the edge from "x" to "y" is in row 2 too'),
        ("child,parent\n,y\n", "row 2: the child is empty"),
        ("child,parent\nx\n", "row 2: 1 cells, the header has 2"),
        ("child,parent\nx,y\na,b\nb,c\nc,a\n", "rows 3, 4, 5"),
        ("child,parent\n", "has no rows"),
    ],
)
def test_what_is_wrong_has_a_row(tmp_path, text, what):
    with pytest.raises(RequestError) as error:
        Hierarchy.read(write(tmp_path / "edges.csv", text))
    assert what in str(error.value) and "edges.csv" in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(RequestError, match="No such file"):
        Hierarchy.read(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("child,parent\nß,s\n".encode("latin-1"))
    with pytest.raises(RequestError, match="not UTF-8"):
        Hierarchy.read(tmp_path / "latin.csv")


def test_the_emoji_set_is_a_tree_of_three_levels():
    h = Hierarchy.read("emoji")
    assert h.is_tree and len(h.leaves) == 1609
    assert [(h.depth == d).sum() for d in range(4)] == [1, 9, 97, 1609]
    assert h.label(h.node("animals and nature > animal mammal > dog face")) == "dog face"
