"""The one built asset: Inter, subset to woff2 from the wheel `fontpkg-inter`, so that no font file
is in the repository.

The finder makes it on first use and keeps it under `var/assets`, named by what it was made from.
`manage.py build_assets` makes it ahead of time; `collectstatic` and the development server find it
like any other file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

FONT = "web/inter.woff2"
UNICODES = "U+0020-007E,U+00A0-017F,U+0192,U+02C6,U+02DA,U+02DC,U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2030,U+2032-2033,U+2039-203A,U+20AC,U+2116,U+2122,U+2190-2193,U+2212,U+2215,U+2248,U+2260,U+2264-2265,U+FEFF,U+FFFD"
FONT_FEATURES = "kern,liga,calt,ccmp,locl,mark,mkmk,tnum,zero,ss02,case"
RECIPE = f"{UNICODES}|{FONT_FEATURES}|opsz=14"


def font_source() -> Path:
    """The variable font inside the wheel."""
    import fontpkg_inter

    return Path(fontpkg_inter.__file__).parent / "files" / "Inter[opsz,wght].ttf"


def assets_root() -> Path:
    """The folder of built files for this version of font and recipe."""
    made_from = hashlib.sha256(f"{version('fontpkg-inter')}|{RECIPE}".encode()).hexdigest()[:12]
    base = getattr(settings, "BUILT_ASSETS_DIR", None) or Path(settings.BASE_DIR) / "var" / "assets"
    return Path(base) / made_from


def build_font() -> Path:
    """Make the subset if it is not there and answer its path. Two makers at once do no harm: the
    last rename wins.
    """
    target = assets_root() / FONT
    if target.exists():
        return target
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer

    target.parent.mkdir(parents=True, exist_ok=True)
    font = TTFont(font_source())
    options = subset.Options()
    options.flavor = "woff2"
    options.layout_features = FONT_FEATURES.split(",")
    options.hinting = False
    options.drop_tables += ["DSIG", "meta"]
    maker = subset.Subsetter(options)
    maker.populate(unicodes=subset.parse_unicodes(UNICODES.replace("U+", "")))
    maker.subset(font)
    font = instancer.instantiateVariableFont(font, {"opsz": 14})
    draft = target.with_suffix(f".{os.getpid()}.part")
    font.flavor = "woff2"
    font.save(draft)
    draft.replace(target)
    return target


class BuiltAssetsFinder(BaseFinder):
    """A static files finder for what is built: `STATICFILES_FINDERS +=
    ["rcm.web.assets.BuiltAssetsFinder"]`.
    """

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path.replace(os.sep, "/") != FONT:
            return []
        found = str(build_font())
        return [found] if find_all else found

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        build_font()
        yield FONT, FileSystemStorage(location=str(assets_root()))
