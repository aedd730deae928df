# SPDX-License-Identifier: MIT
"""The pictures of the results, drawn by gnuplot: cost beside idle connections, and bars of each figure."""
import re
import statistics
import subprocess

STYLE = """
set terminal svg size 1000,{height} enhanced background rgb "white" font "sans-serif,13"
set output "{path}"
set border 3
set tics nomirror out
"""
IDLE = re.compile(r"CPU per message, \d+ active and ([\d,]+) idle connections")


def plot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def quoted(text):
    return '"' + text.replace("_", r"\\_") + '"'


def draw_idle(tables, path):
    """CPU per message against idle connections, both logarithmic, a line for each server."""
    lines = {}
    for one in tables:
        match = IDLE.fullmatch(one.name)
        for server, values in one.values.items() if match else ():
            lines.setdefault(server, []).append((int(match[1].replace(",", "")),
                                                 statistics.median(values)))
    if not lines:
        return
    blocks = [f"$data{i} << end\n" + "".join(f"{x} {y}\n" for x, y in points) + "end\n"
              for i, points in enumerate(lines.values())]
    curves = [f"$data{i} using 1:2 with linespoints lw 2 pt 7 ps 0.6 title {quoted(server)}"
              for i, server in enumerate(lines)]
    plot(STYLE.format(height=450, path=path) + "".join(blocks) + f"""
set logscale xy
set xlabel "idle connections beside 50 active ones"
set ylabel "CPU per message, µs"
set key left top
set grid ytics lc rgb "#dddddd"
plot {", ".join(curves)}
""")


def draw_bars(tables, path):
    """A small chart of bars for each figure that has peers, from the least to the most."""
    tables = [one for one in tables if len(one.values) > 1 and not IDLE.fullmatch(one.name)]
    if not tables:
        return
    rows = (len(tables) + 1) // 2
    script = STYLE.format(height=190 * rows, path=path)
    script += f"set multiplot layout {rows},2\nset style fill solid 0.8\nunset key\nset xrange [0:*]\n"
    for n, one in enumerate(tables):
        bars = [(server, statistics.median(values), min(values), max(values))
                for server, values in reversed(one.values.items())]
        script += f"$bars{n} << end\n" + "".join(
            f'{i} {middle} {low} {high} "{server}"\n' for i, (server, middle, low, high)
            in enumerate(bars)) + "end\n"
        better = "more is better" if one.higher else "less is better"
        # Labels of five digits overlap at gnuplot's own distance of ticks.
        widest = max(high for _, _, _, high in bars)
        ticks = "autofreq" if widest < 10_000 else f"{10 ** (len(str(int(widest))) - 1) * 2}"
        script += (f"set title {quoted(f'{one.name}, {one.unit} ({better})')} font ',11'\n"
                   f"set yrange [-0.6:{len(bars) - 0.4}]\nset xtics rotate by 0 font ',9' {ticks}\n"
                   f"plot $bars{n} using ($2/2):1:($2/2):(0.35):ytic(5) with boxxyerror lc rgb '#4477aa', "
                   f"$bars{n} using 2:1:3:4 with xerrorbars pt 0 lc rgb '#222222'\n")
    plot(script + "unset multiplot\n")


def draw(tables, directory):
    draw_idle(tables, directory / "idle.svg")
    draw_bars(tables, directory / "peers.svg")
