"""Driving JupyterLab: open a notebook, run it, look at what the browser shows."""

import io
import os

import nbformat
import numpy as np
from PIL import Image

PATIENCE = 400_000  # milliseconds for what a kernel on a busy machine has to do
CURRENT = "window.jupyterapp.shell.currentWidget"


class Lab:
    """One browser page with JupyterLab; `errors` are what the browser's console reported."""

    def __init__(self, page, address, token, folder):
        self.page, self.address, self.token, self.folder, self.errors = page, address, token, folder, []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error" and self.errors.append(f"{message.text} ({message.location.get('url', '')})")
            ),
        )

    def open(self, name):
        """Open a notebook and wait for its kernel; no dialog may come up."""
        self.page.goto(f"{self.address}/lab/tree/notebooks/explore/{name}?token={self.token}&reset")
        ready = f"window.jupyterapp && {CURRENT}?.sessionContext?.session?.kernel?.status === 'idle'"
        self.page.wait_for_function(ready, timeout=PATIENCE)
        assert self.page.locator(".jp-Dialog").count() == 0

    def run(self, name):
        """Open a notebook, run all its cells, and return the outputs' errors and warnings (none is right)."""
        self.open(name)
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        self.page.wait_for_function(
            f"""() => {{ const cells = [...{CURRENT}.content.model.cells].filter((c) => c.type === 'code');
            const failed = cells.some((c) => c.toJSON().outputs.some((o) => o.output_type === 'error'));
            return failed || cells.every((c) => c.executionCount != null && c.executionState !== 'running'); }}""",
            timeout=PATIENCE,
        )
        notebook = nbformat.from_dict(self.page.evaluate(f"{CURRENT}.content.model.toJSON()"))
        outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
        return [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]

    def widget(self, number=0):
        """Return the locator of a widget that has its frames."""
        found = self.page.locator(".pl-root").nth(number)
        self.page.wait_for_function(
            "n => document.querySelectorAll('.pl-root')[n]?.dataset.ready === 'true'", arg=number
        )
        found.scroll_into_view_if_needed()
        return found

    def rest(self, widget):
        """Wait until the kernel has answered everything the widget asked."""
        self.page.evaluate("() => new Promise((done) => setTimeout(done, 200))")  # questions are put with a delay
        self.page.wait_for_function(
            "root => !root.hasAttribute('aria-busy')", arg=widget.element_handle(), timeout=PATIENCE
        )
        self.painted()

    def painted(self):
        """Wait until what has changed is on the screen."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def pixels(self, locator):
        """Return a screenshot of an element, int16 [height, width, 3]."""
        self.painted()
        with Image.open(io.BytesIO(locator.screenshot())) as image:
            return np.asarray(image.convert("RGB")).astype(np.int16)

    def keep(self, locator, name):
        """Write a screenshot into the folder that PAPERLIB_SCREENSHOTS names, if it does (docs/images, say)."""
        folder = os.environ.get("PAPERLIB_SCREENSHOTS")
        if folder:
            locator.screenshot(path=f"{folder}/{name}.png")

    def press_slider(self, slider, share):
        """Click on a slider at a share of its width."""
        box = slider.bounding_box()
        slider.click(position={"x": 8 + share * (box["width"] - 16), "y": box["height"] / 2})

    def drag(self, start, end):
        """Drag with the mouse from one point of the page to another, in steps."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=6)
        self.page.mouse.up()

    def save(self, button):
        """Press a button that downloads and return (file name, bytes)."""
        with self.page.expect_download(timeout=PATIENCE) as waiting:
            button.click()
        return waiting.value.suggested_filename, waiting.value.path().read_bytes()

    def close(self):
        """End the kernels of this page, which hold memory."""
        self.page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")


def changed(before, after):
    """Return the share of pixels that differ visibly between two screenshots (1 where their sizes differ)."""
    if before.shape != after.shape:
        return 1.0
    return float((np.abs(before - after).max(2) > 12).mean())
