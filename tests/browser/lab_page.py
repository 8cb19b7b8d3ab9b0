"""The lab's notebook as a page: opened, run, read."""

import time


class LabPage:
    """The lab's notebook in a page of its own, run from top to bottom."""

    def __init__(self, browser, address, width=1280, height=900):
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.troubles = []
        self.page.on("console", lambda m: self.troubles.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.troubles.append(str(e)))
        self.page.goto(address)
        # The word "Idle" shows before there is a kernel; these promises do not.
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel", timeout=60_000)
        self.page.evaluate("""async () => {
            const context = window.jupyterapp.shell.currentWidget.sessionContext;
            await context.ready; await context.session.kernel.info;
            window.jupyterapp.shell.collapseLeft();
        }""")

    def run_all(self):
        """Run every cell and wait until the last view stands."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.locator(".cx-reveal .cx-sentence").wait_for(state="attached", timeout=90_000)
        return self

    def theme(self, name):
        """Change to a theme and wait until the page wears it."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=str("Light" in name).lower())

    def part(self, selector):
        """The first element of the explorer, or of the page if the selector starts with a view's class."""
        found = self.page.locator(selector).first
        found.scroll_into_view_if_needed()
        return found

    def text(self, view, key):
        """What a view shows under data-cx=key."""
        return self.page.locator(f'.cx-{view} [data-cx="{key}"]').first.inner_text().strip()

    def sentence(self, view="explorer"):
        return self.page.locator(f".cx-{view} .cx-sentence").inner_text()

    def until(self, holds, what, seconds=15):
        """Wait until a condition of the page holds, and then until the other parts have followed: they arrive one by one."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what} did not come: {self.sentence()}"
            self.page.wait_for_timeout(30)
        self.settle()

    def settle(self):
        """Wait until the kernel has taken everything that the page has sent, and the page everything that came back."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestKernelInfo()")

    def close(self):
        self.page.close()
