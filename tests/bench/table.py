# SPDX-License-Identifier: MIT
"""Results of the benchmarks: tables, each with one figure of several servers in several runs.

A target is a limit for the figure of the first server, selectd, or for its ratio to the best of the
others: the median of the runs' ratios, or the ratio of the medians. A table that misses its target says
so.
"""
import dataclasses
import statistics


@dataclasses.dataclass
class Target:
    """limit: the most that the figure or the ratio may be, or with higher=True the least."""
    limit: float
    ratio: bool = True   # the ratio to the best of the others; else the figure itself
    strict: bool = False  # must be better than the limit, not equal
    medians: bool = False  # the ratio of medians, not the median of each run's ratio


@dataclasses.dataclass
class Table:
    group: str             # the file of the figure: "echo", "relay", …
    name: str              # "CPU per 64-byte message"
    unit: str              # "µs"
    digits: int
    values: dict           # server: [one value a run]; selectd is the first
    higher: bool = False   # the better
    target: Target = None
    note: str = ""

    def ratios(self):
        """selectd's figure divided by the best of the others', for each run; empty without such a target."""
        if not self.target or not self.target.ratio:
            return []
        own, *others = self.values.values()
        best = max if self.higher else min
        return [mine / best(run) for mine, *run in zip(own, *others)] if others else []

    def reached(self):
        """The value that is compared with the target's limit."""
        own, *others = self.values.values()
        if not self.target.ratio:
            return statistics.median(own)
        if self.target.medians:
            best = max if self.higher else min
            return statistics.median(own) / best(map(statistics.median, others))
        return statistics.median(self.ratios())

    def met(self):
        """Whether the target is met; None: there is no target, or nothing to compare with."""
        if self.target is None or (self.target.ratio and len(self.values) < 2):
            return None
        reached, limit = self.reached(), self.target.limit
        if self.higher:
            reached, limit = -reached, -limit
        return reached < limit or (reached == limit and not self.target.strict)

    def target_text(self):
        if self.target is None:
            return ""
        sign = (">" if self.higher else "<") + ("" if self.target.strict else "=")
        what = "selectd / best of the others" if self.target.ratio else "selectd"
        number = f"{self.target.limit:,}"
        if self.met() is None:
            return f"{what} {sign} {number}: nobody to compare with"
        return f"{what} {sign} {number}: {'met' if self.met() else 'MISSED'}, {self.reached():,.3f}"

    def as_json(self):
        return {**dataclasses.asdict(self), "ratios": self.ratios(), "met": self.met()}


def spread(values, digits):
    """The median, the least and the most."""
    low, middle, high = (f"{f(values):,.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle:>10}  {low}–{high}"


def show(table):
    """Prints a table. Returns it."""
    print(f"\n{table.group}: {table.name}, {table.unit}")
    for server, values in table.values.items():
        print(f"  {server:28}{spread(values, table.digits)}")
    if table.ratios():
        print(f"  {'selectd / best of others':28}{spread(table.ratios(), 3)}")
    if table.target:
        print(f"  {table.target_text()}")
    if table.note:
        print(f"  {table.note}")
    return table


def markdown(tables):
    """All tables as one table in Markdown, with one row for each figure."""
    lines = ["| figure | server | median | least–most | selectd to the best | target |",
             "|---|---|---|---|---|---|"]
    for table in tables:
        for i, (server, values) in enumerate(table.values.items()):
            middle, _, rest = spread(values, table.digits).strip().partition("  ")
            first = i == 0
            ratio = spread(table.ratios(), 3).strip() if first and table.ratios() else ""
            lines.append(f"| {f'{table.group}: {table.name}, {table.unit}' if first else ''} | {server} | "
                         f"{middle} | {rest.strip()} | {ratio} | "
                         f"{table.target_text() if first else ''} |")
    return "\n".join(lines) + "\n"
