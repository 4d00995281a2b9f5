"""What a scenario found, and a table of it."""

from dataclasses import dataclass, field


@dataclass
class Result:
    name: str
    rounds: int = 0
    writes: int = 0
    renderings: int = 0
    refused: int = 0
    # Seconds from a fault to the first answer after it.
    outages: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def line(self):
        return (
            f"{self.name}: {self.rounds} rounds, {self.writes} writes acknowledged, {self.renderings} renderings delivered,"
            f" {len(self.wrong)} wrong"
        )


def seconds(values, share):
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f} s" if ordered else ""


def table(results):
    head = ["scenario", "rounds", "writes acknowledged", "renderings delivered", "lost", "refused meanwhile", "outage, median", "longest"]
    rows = [
        [r.name, r.rounds, r.writes, r.renderings, len(r.wrong), r.refused, seconds(r.outages, 0.5), seconds(r.outages, 1)]
        for r in results
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
