"""Markdown pages whose tables are written by a program: what stands between two marks."""


def written(text: str, mark: str, table: str) -> str:
    """The page with `table` between `<!-- mark:begin -->` and `<!-- mark:end -->`.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin} ... {end}; put both where the table belongs")
    return f"{before}{begin}\n{table.strip()}\n{end}{after}"
