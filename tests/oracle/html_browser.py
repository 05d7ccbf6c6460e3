# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A headless Chromium with one page of tmbpf's in it, and what can be seen of that page."""
import json
import re
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import harness

PATIENCE = harness.PATIENCE

# The page waits 120 ms for the reader to pause, then animates for 200 ms: by its own clock, since
# one that has no processor meanwhile takes longer, and to the frame that is drawn after that.
SETTLES = """
const done = arguments[0];
const frame = window.requestAnimationFrame;
setTimeout(() => frame(() => frame(() => frame(() => done()))), 350);
"""

FRAMES = """
return [...document.querySelectorAll("#flame g.frame")].map((g) => {
	const rect = g.querySelector("rect"), box = rect.getBoundingClientRect();
	const says = g.querySelector("title").textContent;
	return { text: says.split("\\n")[0], says: says,
		fill: rect.getAttribute("fill"), x: box.x, y: box.y, width: box.width };
});
"""

TABLE = """
return [...document.querySelectorAll("#table tr")].map((tr) =>
	[...tr.cells].map((cell) => (cell.querySelector("button") ?? cell).textContent));
"""


class Frame:
    """A rectangle of the flame graph."""

    def __init__(self, found):
        self.text, self.says, self.fill = found["text"], found["says"], found["fill"]
        self.x, self.y, self.width = found["x"], found["y"], found["width"]

    def colour(self):
        return tuple(
            int(part) for part in re.fullmatch(r"rgb\((\d+), ?(\d+), ?(\d+)\)", self.fill).groups())


class Browser:
    """What it prints and what it asks the network for is kept until problems() takes it."""

    def __init__(self, chromium, driver):
        options = Options()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu",
                         "--disable-dev-shm-usage",
                         "--window-size=1500,1200", "--force-color-profile=srgb"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(driver), options=options)
        self.driver.set_script_timeout(PATIENCE)
        self.driver.set_page_load_timeout(PATIENCE)
        self.light_or_dark("light")

    def quit(self):
        self.driver.quit()

    def light_or_dark(self, scheme):
        """What the reader's system prefers."""
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def open(self, path):
        self.problems()
        self.driver.get("file://" + path)
        self.wait(lambda: self.frames(), "no frame was drawn")
        self.settle()

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise harness.Failed(what)
            time.sleep(0.05)

    def settle(self):
        """Until the frames keep their places and colours."""
        self.driver.execute_async_script(SETTLES)

    def script(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def frames(self):
        return [Frame(found) for found in self.script(FRAMES)]

    def frame(self, text):
        """The widest frame of that text."""
        found = [frame for frame in self.frames() if frame.text == text]
        if not found:
            raise harness.Failed("there is no frame %r" % text)
        return max(found, key=lambda frame: frame.width)

    def click_frame(self, text):
        frame = self.frame(text)
        place = self.script("window.scrollTo(0, arguments[0] - 300); return [scrollX, scrollY]",
                            frame.y + self.script("return scrollY"))
        assert place is not None
        frame = self.frame(text)
        ActionChains(self.driver).move_by_offset(0, 0).perform()
        mouse = ActionChains(self.driver)
        mouse.w3c_actions.pointer_action.move_to_location(int(frame.x + min(frame.width / 2, 20)),
                                                          int(frame.y + 8))
        mouse.w3c_actions.pointer_action.click()
        mouse.perform()
        self.settle()

    def choose(self, group, value):
        """Presses one of a group's buttons."""
        self.script("arguments[0].click()", self.find('#%s input[value="%s"]' % (group, value)))
        self.settle()

    def press(self, selector):
        self.find(selector).click()
        self.settle()

    def search(self, term):
        """Types TERM into the empty search field."""
        field = self.find("#search")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.BACKSPACE)
        field.send_keys(term)
        time.sleep(0.2)
        self.settle()

    def key(self, key):
        ActionChains(self.driver).send_keys(key).perform()
        self.settle()

    def table(self):
        """(header, rows), the words of each cell."""
        rows = self.script(TABLE)
        return rows[0], rows[1:]

    def sort(self, column):
        self.script("""[...document.querySelectorAll("#table th button")]
            .find((button) => button.textContent === arguments[0]).click()""", column)

    def light(self):
        """How light the page is, 0 to 255."""
        colour = self.script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3

    def screenshot(self, path):
        self.script("window.scrollTo(0, 0)")
        self.driver.save_screenshot(path)

    def problems(self):
        """What the console said, and the addresses that were asked for besides the page itself."""
        found = ["console: " + entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = message["params"]["request"]["url"]
                if not address.startswith(("file:///", "data:")):
                    found.append("asked for " + address)
        return found
