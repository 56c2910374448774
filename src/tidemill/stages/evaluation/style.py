"""The look of an evaluation report, beyond that of every page."""

from __future__ import annotations

from tidemill.stages import page_style

STYLE = (
    page_style.STYLE
    + """
main>section{min-width:0}p{max-width:75ch}
.tiles{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));margin-bottom:.6rem}
.tiles div{background:var(--bg);border-radius:10px;padding:.6rem .75rem}.tiles small,.tiles i{display:block;
color:var(--soft);font-style:normal;font-size:.8rem}.tiles b{font-size:1.45rem;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.35rem 1.2rem;margin:0}dt{color:var(--soft);
max-width:15rem}dd{margin:0;white-space:pre-line;overflow-wrap:anywhere}dd.missing{color:var(--soft);font-style:italic}
dd.mono{color:var(--ink)}td small{display:block;color:var(--soft);white-space:nowrap}
.matrices{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,var(--least)),1fr));
margin:.7rem 0}.matrices>div{max-width:560px}h3 small{margin-left:.3rem}
.hit{fill:var(--tide)}.miss{fill:var(--coral)}svg text.on{fill:var(--card)}
.heat{width:100%;image-rendering:pixelated;border:1px solid var(--line);aspect-ratio:1;background:var(--card)}
details{margin-top:.6rem}summary{cursor:pointer;color:var(--soft);font-size:.9rem}
.beside{display:grid;gap:1rem 2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr));
align-items:center}
.plot{max-width:360px}.plots{display:grid;gap:1.2rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));
margin-bottom:.6rem}.point{fill:var(--tide);fill-opacity:.45}
.pictures{display:grid;gap:.9rem;grid-template-columns:repeat(auto-fill,minmax(112px,1fr));margin-top:.6rem}
.rows{display:grid;gap:.7rem;margin-top:.6rem}.rows figure{border-top:1px solid var(--line);padding-top:.6rem;
display:grid;gap:.3rem 1.2rem;grid-template-columns:1fr minmax(9rem,28%)}
figure{margin:0;min-width:0}figure img{width:100%;aspect-ratio:1;object-fit:contain;border-radius:8px;
background:var(--wash)}figcaption{font-size:.85rem;line-height:1.35;overflow-wrap:anywhere;margin-top:.25rem}
figcaption small{color:var(--soft)}figcaption>small:last-child{display:block;font-size:.75rem}
blockquote{margin:0;overflow-wrap:anywhere}.cells{display:flex;flex-wrap:wrap;gap:.2rem .8rem;margin:0;font-size:.85rem;
color:var(--ink)}.cells i{color:var(--soft);font-style:normal}
@media(max-width:640px){main,header{padding-left:.8rem;padding-right:.8rem}dl{grid-template-columns:1fr}
dt{margin-top:.3rem}table.wide{min-width:32rem}.rows figure{grid-template-columns:1fr}}
@media print{section{break-inside:avoid;border:0}}
"""
)
