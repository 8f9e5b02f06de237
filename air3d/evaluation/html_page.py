"""The frame of a page that is one file: readable on a phone and in the dark, without scripts."""

from __future__ import annotations

import base64
from html import escape


def html_page(title: str, body: str) -> str:
    """Make a whole document around `body`, which is HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def png_uri(png: bytes) -> str:
    """Encode the bytes of a PNG file as a data URI for an image's `src`."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


_STYLE = """
:root{color-scheme:light dark;--fg:#1c1d20;--bg:#fbfaf8;--card:#fff;--rule:#d8d5cf;--bar:#3b6ea8;--mark:#e0142c;
--table:#eadfce;--line:#b9ab97;--ink:#222}
@media(prefers-color-scheme:dark){:root{--fg:#e9e7e3;--bg:#17181b;--card:#212327;--rule:#3a3d43;--bar:#7fa8d8;
--mark:#ff5c6c;--table:#574c3e;--line:#8a7a66;--ink:#f4f1ec}}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:auto;padding:1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
.scroll{overflow-x:auto;margin-bottom:1rem}table{border-collapse:collapse}caption{text-align:left;padding-bottom:.4rem}
td,th{padding:.3rem .8rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
th[scope=row]{font-weight:normal}td{white-space:nowrap}
.confusion td{text-align:right;background:color-mix(in srgb,var(--bar) calc(70% * var(--share)),transparent)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:1.2rem}
.chart svg{width:100%;display:block;fill:var(--bar)}.curve{fill:none;stroke:var(--bar);stroke-width:1.5}
.chart text{fill:var(--fg);font-size:11px}
.chart figcaption{text-align:left}.median{stroke:var(--mark);stroke-width:1.5}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(32rem,100%),1fr));gap:1rem}
.card{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:.8rem}
.row{display:grid;grid-template-columns:repeat(4,1fr);gap:.5rem}
@media(max-width:30rem){.row{grid-template-columns:repeat(2,1fr)}td,th{padding:.3rem .5rem}}
figure{margin:0}figcaption{font-size:.8rem;text-align:center;opacity:.8}
.row img,.top{width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:.3rem;display:block}
pre{overflow-x:auto}.wide{max-width:100%;height:auto;border-radius:.4rem}.card p{font-size:.85rem;margin:.5rem 0 0}
dt{font-weight:600}dd{margin:0 0 .5rem;font-family:ui-monospace,monospace;font-size:.85rem;overflow-wrap:anywhere}
"""
