"""Draws a summary of script/bench as an SVG: CPU time for each operation, a dot for each broker, on
a logarithmic scale, because a row's neighbours are a thousand times apart."""

import math

COLOURS = {"floor": "#8a8a8a", "mosquitto": "#c0504d", "holdfast": "#1f5fa8"}
LABEL_WIDTH, PLOT_WIDTH, ROW_HEIGHT, TOP, RADIUS = 210, 520, 20, 56, 5


def _rows(summary):
    """(label, {broker: us}) of the lines that have CPU time."""
    for line in summary:
        figures = {name: broker["cpu_us"] for name, broker in line["brokers"].items()
                   if broker["cpu_us"]}
        if figures:
            yield f"{line['row']} {line['figure'].split('/')[0]}", figures


def svg(summary):
    rows = list(_rows(summary))
    if not rows:
        return None
    values = [value for _, figures in rows for value in figures.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(value):
        return LABEL_WIDTH + PLOT_WIDTH * (math.log10(value) - low) / (high - low)

    width, bottom = LABEL_WIDTH + PLOT_WIDTH + 30, TOP + ROW_HEIGHT * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 20}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{bottom + 20}" fill="white"/>',
           '<text x="10" y="18" font-size="14">CPU time of the broker, us for each operation '
           '(less is better)</text>']
    for place, (name, colour) in enumerate(COLOURS.items()):
        left = LABEL_WIDTH + 110 * place
        out.append(f'<circle cx="{left}" cy="34" r="{RADIUS}" fill="{colour}"/>'
                   f'<text x="{left + 10}" y="38">{name}</text>')
    for power in range(low, high + 1):
        out.append(f'<line x1="{x(10 ** power):.1f}" x2="{x(10 ** power):.1f}" y1="{TOP - 6}" '
                   f'y2="{bottom}" stroke="#dddddd"/><text x="{x(10 ** power):.1f}" '
                   f'y="{bottom + 14}" text-anchor="middle">{10.0 ** power:g}</text>')
    for index, (label, figures) in enumerate(rows):
        y = TOP + ROW_HEIGHT * index + 8
        ends = min(figures.values()), max(figures.values())
        out.append(f'<text x="10" y="{y + 4}">{label}</text><line x1="{x(ends[0]):.1f}" '
                   f'x2="{x(ends[1]):.1f}" y1="{y}" y2="{y}" stroke="#bbbbbb"/>')
        for name, value in figures.items():
            out.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="{RADIUS}" fill="{COLOURS[name]}">'
                       f'<title>{name}: {value:.2f} us</title></circle>')
    return "\n".join(out + ["</svg>"]) + "\n"
