"""Files of figures: SVG always, PNG when asked for; whole by themselves and linked beside each figure."""

from __future__ import annotations

import re
import struct
from xml.etree import ElementTree as ET

from pages import whole
from runs import GROUPS, TECHNIQUES, make_run, vary
from test_report_figures import KNOWN

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def files(out):
    return {path.name: path.read_bytes() for path in (out / "figures").iterdir()}


def test_figures_are_png_files_only_when_asked_for(tmp_path):
    run = make_run(tmp_path / "run", GROUPS[:1], TECHNIQUES[:4])
    out = tmp_path / "out"
    whole(out, [run])
    assert {name[-4:] for name in files(out)} == {".svg"}
    pages = whole(out, [run], png=True)
    found = files(out)
    stems = [{name[:-4] for name in found if name.endswith(kind)} for kind in (".svg", ".png")]
    assert stems[0] == stems[1]
    for name, content in found.items():
        if name.endswith(".png"):
            assert content.startswith(SIGNATURE)
            assert struct.unpack(">I", content[16:20])[0] > 1000  # pixels across
    linked = {
        a["href"].rpartition("/")[2] for page in pages.values() for a in page.all("a") if "download" in a
    }
    assert set(found) <= linked
    whole(out, [run])
    assert {name[-4:] for name in files(out)} == {".svg"}  # what is written no more is removed


def test_each_svg_file_is_whole_by_itself(tmp_path):
    columns = {"build_details": KNOWN["build_details"]}
    whole(tmp_path / "out", [make_run(tmp_path / "run", GROUPS[:1], vary("int8-static", columns=columns))])
    found = files(tmp_path / "out")
    assert any("sensitivity" in name for name in found)
    for name, content in found.items():
        text = content.decode("utf-8")
        ET.fromstring(text)
        assert "var(--" not in text, name
        assert not re.search(r'(?:href|src)="(?!#)', text), name
