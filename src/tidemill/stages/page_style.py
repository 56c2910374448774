"""The look of every page that is one file: light and dark, no script, no network."""

from __future__ import annotations

STYLE = """
:root{--bg:#f7f8f7;--card:#fff;--ink:#17211f;--soft:#5d6b68;--line:#dfe5e2;--tide:#0b6e69;--tide2:#4fb3a9;
--sand:#c98a2b;--coral:#c2453d;--wash:#e6f2f0}
@media(prefers-color-scheme:dark){:root{--bg:#0e1615;--card:#15201e;--ink:#e5efec;--soft:#93a6a1;--line:#263532;
--tide:#4fc0b4;--tide2:#2b7f78;--sand:#e0a94a;--coral:#ec7a70;--wash:#16302d}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{display:flex;gap:.6rem 1rem;align-items:baseline;flex-wrap:wrap;padding:1.1rem 1.6rem .3rem;max-width:1100px;
margin:auto}h1{font-size:1.25rem;margin:0}h1 span{color:var(--soft);font-weight:400}
h2{font-size:.8rem;margin:0 0 .55rem;color:var(--soft);font-weight:600;letter-spacing:.04em;text-transform:uppercase}
h3{font-size:.9rem;margin:0 0 .3rem;overflow-wrap:anywhere}h3 small{color:var(--soft);font-weight:400}
.pill{border-radius:99px;padding:.12rem .6rem;background:var(--wash);color:var(--tide);font-size:.85rem;font-weight:600}
.pill.warn{color:var(--coral)}main{display:grid;gap:1rem;padding:1rem 1.6rem 2rem;max-width:1100px;margin:auto}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.1rem;overflow-x:auto}
.charts{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(260px,1fr))}
.charts>div{max-width:420px}p{margin:.2rem 0;color:var(--soft)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.32rem .3rem;text-align:left;border-bottom:1px solid var(--line);font-size:.9rem}
th{color:var(--soft);font-weight:500}td.n,th.n{text-align:right}.bad{color:var(--coral)}.good{color:var(--tide)}
.meter{display:inline-block;width:8rem;max-width:100%;height:.55rem;border-radius:3px;background:var(--wash);
vertical-align:middle}.meter i{display:block;height:100%;border-radius:3px;background:var(--tide2)}
.mono{font:12.5px ui-monospace,SFMono-Regular,Menlo,monospace;color:var(--soft);overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
svg .soft{fill:var(--soft)}.area{fill:var(--wash);stroke:var(--tide2)}.line{fill:none;stroke:var(--sand);stroke-width:2}
.bar{fill:var(--sand)}.axis{stroke:var(--line);fill:none}.rule{stroke:var(--tide2);stroke-dasharray:3 4;fill:none}
.whisker{stroke-width:3;stroke-linecap:round}.curve{fill:none;stroke-width:2}.dot{stroke-width:2;fill:var(--card)}
.base{stroke:var(--soft)}.estimate{stroke:var(--tide)}.label{stroke:var(--sand)}
"""
