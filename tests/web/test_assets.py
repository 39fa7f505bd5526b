from __future__ import annotations

from django.contrib.staticfiles import finders
from fontTools.ttLib import TTFont

from rcm.web.assets import FONT, build_font


def test_the_font_is_built_once_and_found_like_any_static_file(settings, tmp_path) -> None:
    settings.BUILT_ASSETS_DIR = tmp_path
    path = build_font()
    stamp = path.stat().st_mtime_ns
    assert path.stat().st_size < 80_000
    assert finders.find(FONT) == str(path)
    assert build_font().stat().st_mtime_ns == stamp
    font = TTFont(path)
    assert font.flavor == "woff2"
    assert {axis.axisTag for axis in font["fvar"].axes} == {"wght"}
    assert {ord("0"), ord("$"), 0x2212, 0x2019, 0xF1} <= set(font.getBestCmap())
    assert {"tnum", "zero", "ss02"} <= {
        record.FeatureTag for record in font["GSUB"].table.FeatureList.FeatureRecord
    }


def test_no_font_file_is_in_the_repository() -> None:
    from pathlib import Path

    here = Path(__file__).resolve().parents[2] / "rcm"
    assert not [p for p in here.rglob("*") if p.suffix in (".woff2", ".ttf", ".otf", ".woff")]
