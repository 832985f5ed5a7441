"""Opening pages in Chromium, and hearing what they say and ask for."""

from types import SimpleNamespace


def open_report(chromium, report, attribute="drawn", **options):
    """The page, and what it says, asks for and gets wrong from then on."""
    context = chromium.new_context(**options)
    context.set_default_timeout(300_000)
    page = context.new_page()
    heard = SimpleNamespace(errors=[], console=[], requests=[])
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("console", lambda message: heard.console.append(message.text))
    page.on("request", lambda request: heard.requests.append(request.url))
    page.goto(report.as_uri(), timeout=300_000)
    if options.get("java_script_enabled", True):
        page.wait_for_selector(f"html[data-{attribute}]", state="attached")
    return page, heard


def outside(heard, report):
    """Requests for anything but the page itself and what stands inside it."""
    inside = ("data:", "blob:")
    return [u for u in heard.requests if u != report.as_uri() and not u.startswith(inside)]
