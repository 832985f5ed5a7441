"""The table of a comparison for a terminal."""

from geomclip.results import Results
from geomclip.viz import style, tables


def text_table(results: Results) -> str:
    """Measures down, geometries and references across; ± and * as in the report."""
    head = ["", *(style.label(v) for v in results.variants), *tables.REFERENCES.values()]
    lines: list[list[str]] = []
    starred = False
    for block in tables.metric_blocks(results):
        lines.append([block.title + (f" ({block.detail})" if block.detail else "")])
        for row in block.rows:
            unit = f", {row.unit}" if row.unit else ""
            cells = []
            for cell in row.cells:
                margin = f" ± {cell.margin}" if cell.margin else ""
                cells.append(cell.text + margin + ("*" if cell.best else ""))
                starred = starred or cell.best
            lines.append([f"  {row.label}{unit}", *cells, *row.references])
    full = [head, *(line for line in lines if len(line) > 1)]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    # A column that no row fills (a reference that the data do not have) is left out.
    kept = [i for i in range(len(head)) if i == 0 or any(line[i] for line in full[1:])]

    def draw(line: list[str]) -> str:
        if len(line) == 1:
            return f"\n{line[0]}"
        cells = [line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in kept[1:])]
        return "  ".join(cells).rstrip()

    seeds = len({run.seed for run in results.runs})
    note = (
        f"± standard deviation over {seeds} seeds."
        if seeds > 1
        else "± standard error of the test items; one seed says nothing about other seeds."
    )
    if starred:
        note += " * ahead of all others beyond chance (95 %)."
    return "\n".join([draw(head), *map(draw, lines), "", note])
