"""A report as one HTML file: the question, and each excerpt with its picture, scores and evidence.

It needs nothing beside itself: pictures are in it, there is no script, and it suits light and dark
screens and paper.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from html import escape
from pathlib import PurePath
from typing import Any

from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.export_tables import rows
from vidsearch.inputs import printable
from vidsearch.records import Still
from vidsearch.timecodes import timecode

_SIDE = 480  # pixels, the long side of a picture: some 25 kB each

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #fff; --ink: #1d1e21; --soft: #62656b;
  --rule: #dcdad3; --bar: #c98a00; --track: #ebe8df; --frame: #ffc43d; }
@media (prefers-color-scheme: dark) { :root { --paper: #18191c; --card: #24262a; --ink: #eeeeec;
  --soft: #a0a3a9; --rule: #3e4147; --bar: #ffc43d; --track: #383b41; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.45 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; padding-left: .8rem;
  border-left: .3rem solid var(--bar); overflow-wrap: anywhere; }
.sum { color: var(--soft); margin: 0 0 1.6rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
li { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem;
  overflow: hidden; display: flex; flex-direction: column; }
.still { position: relative; background: #0c0c0d; aspect-ratio: 16 / 9; display: flex;
  align-items: center; justify-content: center; }
.shot { position: relative; max-width: 100%; max-height: 100%; aspect-ratio: var(--shape); }
.wide { width: 100%; } .tall { height: 100%; }
.shot img { display: block; width: 100%; height: 100%; }
.face { position: absolute; border: 2px solid var(--frame); border-radius: 2px;
  box-shadow: 0 0 0 1px #0009, inset 0 0 0 1px #0009; }
.face span { position: absolute; left: -2px; bottom: 100%; background: var(--frame); color: #141414;
  font-size: .72rem; line-height: 1.2; padding: .1rem .35rem; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.face.low span { bottom: auto; top: 100%; } .face.right span { left: auto; right: -2px; }
.rank { position: absolute; left: 0; bottom: 0; background: var(--card); color: var(--ink);
  padding: .1rem .6rem; font-weight: 600; border-top-right-radius: .4rem; }
.text { padding: .8rem .9rem 1rem; display: flex; flex-direction: column; gap: .35rem; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
.time { font-variant-numeric: tabular-nums; margin: 0; }
.soft { color: var(--soft); font-size: .86rem; margin: 0; overflow-wrap: anywhere; }
dl { margin: .3rem 0 0; display: grid; grid-template-columns: fit-content(50%) 1fr 2.6rem;
  gap: .3rem .6rem; align-items: center; font-size: .9rem; }
dt { min-width: 5rem; overflow-wrap: anywhere; } dd { margin: 0; }
.bar { height: .55rem; background: var(--track); border-radius: .3rem; overflow: hidden;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.bar i { display: block; height: 100%; background: var(--bar); }
.n { text-align: right; font-variant-numeric: tabular-nums; }
footer { color: var(--soft); font-size: .86rem; margin-top: 2rem; }
@media print { body { max-width: none; padding: 0; background: #fff; color: #000; }
  li { break-inside: avoid; } ol { grid-template-columns: repeat(2, 1fr); } }
"""


def as_html(excerpts: Excerpts, stills: Iterable[Still], rate: Fraction | None = None) -> bytes:
    """The report; `stills` are one an excerpt, of its `picture_s`."""
    title = escape(printable(" ".join(excerpts.title.split())) or "vidsearch")
    n, m = len(excerpts.excerpts), len(excerpts.videos)
    counted = f"{n} {'excerpt' if n == 1 else 'excerpts'} of {m} {'video' if m == 1 else 'videos'}"
    seconds = sum(each.end_s - each.start_s for each in excerpts.excerpts)
    cards = "\n".join(
        _card(each, still, facts)
        for each, still, facts in zip(excerpts.excerpts, stills, rows(excerpts, rate), strict=True)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="vidsearch">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="sum">{counted}, {timecode(seconds)} in all</p>
<ol>
{cards}
</ol>
<footer>Made by vidsearch. Times count from the first video frame. A probability says how sure it
is that a face is that person's; a context score ranks pictures and proves nothing.</footer>
</body>
</html>
""".encode()


def picture_s(each: Excerpt) -> float:
    """Seconds of the frame that shows an excerpt: the first face's, else the keyframe's."""
    return each.people[0].time_s if each.people else each.keyframe_s


def _card(each: Excerpt, still: Still, facts: dict[str, Any]) -> str:
    name = escape(printable(PurePath(each.video.path).name))
    where = escape(printable(each.video.path), quote=True)
    codes = ""
    if facts["start_tc"]:
        codes = f'<p class="soft time">time code {facts["start_tc"]} to {facts["end_tc"]}</p>'
    reel = (
        f'<p class="soft">reel {escape(printable(each.video.reel))}</p>' if each.video.reel else ""
    )
    bars = [_bar(seen.name, seen.probability) for seen in each.people]
    if each.context_score is not None:
        bars.append(_bar("context", each.context_score))
    if bool(each.people) == (each.context_score is not None):  # else it is the one bar there is
        bars.append(_bar("score", each.score))
    span = f"{timecode(each.start_s)} to {timecode(each.end_s)}"
    long = f"{each.end_s - each.start_s:.2f} s"
    why = f'<p class="soft">{escape(printable(each.evidence))}</p>' if each.evidence else ""
    return f"""<li>
<div class="still">{_still(each, still)}<span class="rank">{each.rank}</span></div>
<div class="text"><h2 title="{where}">{name}</h2>
<p class="time">{span} <span class="soft">({long})</span></p>
{codes}{reel}
<dl>{"".join(bars)}</dl>
{why}</div>
</li>"""


def _still(each: Excerpt, still: Still) -> str:
    from PIL import Image

    image = Image.fromarray(still.picture)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    faces = "".join(
        _face(f"{seen.name} {seen.probability:.2f}", seen.box)
        for seen in still.framed(each.people, picture_s(each))
    )
    shape = "wide" if image.width * 9 >= image.height * 16 else "tall"
    alt = escape(printable(f"{each.title} at {timecode(picture_s(each))}"), quote=True)
    return (
        f'<div class="shot {shape}" style="--shape:{image.width}/{image.height}">'
        f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" width="{image.width}"'
        f' height="{image.height}">{faces}</div>'
    )


def _face(label: str, box: Sequence[float]) -> str:
    x0, y0, x1, y1 = (min(1.0, max(0.0, float(edge))) for edge in box)
    place = f"left:{x0:.2%};top:{y0:.2%};width:{x1 - x0:.2%};height:{y1 - y0:.2%}"
    at_right = x0 > 0.6
    kind = "face" + (" low" if y0 < 0.12 else "") + (" right" if at_right else "")
    # A share of the box's width: a long name ends at the edge of the picture.
    room = (x1 if at_right else 1 - x0) / max(x1 - x0, 1e-3)
    text = f'<span style="max-width:{room:.0%}">{escape(printable(label))}</span>'
    return f'<div class="{kind}" style="{place}">{text}</div>'


def _bar(name: str, value: float) -> str:
    share = min(1.0, max(0.0, value))
    return (
        f"<dt>{escape(printable(name))}</dt>"
        f'<dd class="bar"><i style="width:{share:.1%}"></i></dd><dd class="n">{value:.2f}</dd>'
    )
