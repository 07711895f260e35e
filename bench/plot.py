"""The growth figures as an SVG document, by hand: no library is needed for three lines."""

import math
from xml.sax.saxutils import escape

from shapes import SEARCHES

WIDTH, HEIGHT = 640, 320
LEAST, MOST = 5_000, 500_000
"""Runs at the ends of the axis."""
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 20, 45
STYLE = (
    'font-family="sans-serif" font-size="12" role="img"'
    ' aria-label="Search latency by number of runs"'
)
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def plot(found: dict[str, dict[str, float]]) -> str:
    """The latencies as an SVG document: runs on a logarithmic axis, milliseconds from zero."""
    top = _round_up(max(value for figures in found.values() for value in figures.values()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_axes([int(size) for size in found], top),
    ]
    for way, colour in zip(SEARCHES, COLOURS, strict=True):
        places = [(_x(int(size)), _y(figures[way.name], top)) for size, figures in found.items()]
        parts += _line(places, colour)
    parts += _legend(found, top)
    return "\n".join([*parts, "</svg>", ""])


def _axes(sizes: list[int], top: float) -> list[str]:
    floor = HEIGHT - BOTTOM
    end = WIDTH - RIGHT
    parts = [_text((LEFT + end) / 2, HEIGHT - 8, "runs in the experiment", "middle")]
    parts.append(_text(LEFT - 44, TOP - 6, "ms", "start"))
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(top * share, top)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{end}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{top * share:g}", "end"))
    for size in sizes:
        x = _x(size)
        parts.append(f'<path d="M{x:.1f} {floor}v5" stroke="#444444"/>')
        parts.append(_text(x, floor + 19, f"{size // 1000} k", "middle"))
    return parts


def _line(places: list[tuple[float, float]], colour: str) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    return [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _legend(found: dict[str, dict[str, float]], top: float) -> list[str]:
    """Names beside the lines' ends, moved apart where they would overlap."""
    last = list(found.values())[-1]
    named = zip(SEARCHES, COLOURS, strict=True)
    ends = sorted((_y(last[way.name], top), way.title, colour) for way, colour in named)
    parts, free = list[str](), 0.0
    for y, title, colour in ends:
        free = max(y + 4, free + 16)
        parts.append(_text(WIDTH - RIGHT + 10, free, title.split(",")[0], "start", colour))
    return parts


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#444444") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def _x(size: int) -> float:
    least, most = math.log(LEAST), math.log(MOST)
    return LEFT + 15 + (math.log(size) - least) / (most - least) * (WIDTH - LEFT - RIGHT - 30)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value)
