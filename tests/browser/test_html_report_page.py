"""The page in a real browser: light and dark, wide and on a phone, by mouse and by keyboard.

Needs Debian's `chromium` and `chromium-driver`, and the extra `browser`.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from evaluate.html_report.facts.report import collect
from evaluate.html_report.write import write_page
from evobit.main import run
from tests.evaluate.html_report.html_report_facts import candidate, make_search

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
WIDE, PHONE = 1200, 360
Chrome = webdriver.Chrome


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A Chromium with an empty profile; its log and its network requests are kept."""
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"apt-get install chromium chromium-driver: found {found}"
    options = webdriver.ChromeOptions()
    options.binary_location = str(found["chromium"])
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(found["chromedriver"])))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def page(folder: Path, stages: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a small real retraining, made once."""
    monkeypatch.chdir(folder)
    if not Path("retrain").exists():
        Path("tiny.yaml").write_text(yaml.safe_dump(stages))
        for line in (
            "train-supernet tiny.yaml --run supernet",
            "search tiny.yaml --run search --supernet supernet",
            "export search -o best.json",
            "retrain tiny.yaml best.json --run retrain",
            "report retrain --html",
        ):
            assert run(line.split()) == 0, line
    return folder / "retrain" / "report.html"


def look(browser: Chrome, page: Path, width: int = WIDE, scheme: str = "light") -> dict[str, Any]:
    """Open a page at a width and in a scheme; returns the document that it carries."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())
    return json.loads(element(browser, "#report").get_attribute("textContent") or "")


def element(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def hover(browser: Chrome, point: WebElement) -> None:
    """Move the mouse there once the page stands still: scrolling takes a tip away."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    ActionChains(browser).move_to_element(point).perform()


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, 0 to 1 (WCAG 2.2)."""
    shares = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_renders_quietly_and_fits(browser: Chrome, page: Path, width: int, scheme: str) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages said
    look(browser, page, width, scheme)
    for summary in browser.find_elements(By.TAG_NAME, "summary"):
        browser.execute_script("arguments[0].parentElement.open = true", summary)
    assert browser.get_log("browser") == []
    events = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    cut = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].filter((one) => {"
        "  const box = one.getBoundingClientRect();"
        "  const plot = one.ownerSVGElement.getBoundingClientRect();"
        "  return box.left < plot.left - 1 || box.right > plot.right + 1;"
        "}).map((one) => one.textContent)"
    )
    assert cut == [], "no text is cut at the edge of its plot"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(browser: Chrome, page: Path, scheme: str) -> None:
    look(browser, page, WIDE, scheme)
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = browser.execute_script(style, "body", "backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for selector, name in [
        ("h1", "color"),
        (".lede", "color"),
        (".note", "color"),
        ("summary", "color"),
        ("svg .tick", "fill"),
    ]:
        assert contrast(browser.execute_script(style, selector, name), paper) >= 4.5, selector
    for selector, name in [("svg .o0", "fill"), ("svg .o1", "fill"), ("svg .best", "stroke")]:
        assert contrast(browser.execute_script(style, selector, name), paper) >= 3, selector


def test_numbers_are_those_of_the_document(browser: Chrome, page: Path) -> None:
    facts = look(browser, page)
    winner = facts["winner"]
    assert f"{winner['test_top1']:.2f}" in element(browser, "h1").text
    tiles = [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".tiles dd")]
    assert f"{winner['costs']['ops']:,}" in tiles and f"{winner['search_top1']:.2f}" in tiles
    rows = browser.find_elements(By.CSS_SELECTOR, "#finalists tbody tr")
    assert len(rows) == len(facts["report"]["networks"])
    for shown, known in zip(rows, facts["report"]["networks"], strict=True):
        cells = [one.text for one in shown.find_elements(By.TAG_NAME, "td")]
        assert cells[0] == known["name"] and cells[4] == str(len(known["top1"]))
        assert cells[1].startswith(f"{known['top1_mean']:.2f}")
        assert cells[5] == f"{known['ops']:,}"
    typed = element(browser, "#provenance .copyable code").text
    assert typed.split("\n\n") == facts["commands"]


def test_hovering_tells_the_candidate(browser: Chrome, page: Path) -> None:
    facts = look(browser, page)
    index = facts["search"]["winner"]
    point = element(browser, f"#costs [data-c='{index}']:not(.ring)")
    tip = element(browser, "#tip")
    assert not tip.is_displayed()
    hover(browser, point)
    assert tip.is_displayed()
    row = facts["search"]["candidates"]["rows"][index]
    assert f"candidate {index} (winner" in tip.text
    assert ",".join(map(str, row[6])) in tip.text
    assert f"OPs {row[7][0]:,}" in tip.text
    ActionChains(browser).move_to_element(element(browser, "h2#costs-name")).perform()
    assert not tip.is_displayed()


def test_the_keyboard_goes_from_point_to_point(browser: Chrome, page: Path) -> None:
    look(browser, page)
    plot = element(browser, "#search svg")
    browser.execute_script("arguments[0].querySelector('[tabindex=\"0\"]').focus()", plot)
    said = []
    for key in (Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT):
        ActionChains(browser).send_keys(key).perform()
        focused = browser.switch_to.active_element
        assert element(browser, "#tip").text == focused.get_attribute("aria-label")
        said.append(focused.get_attribute("data-c"))
    assert said[0] == said[2] != said[1]
    assert len(plot.find_elements(By.CSS_SELECTOR, '[tabindex="0"]')) == 1
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not element(browser, "#tip").is_displayed()


def test_a_tap_tells_it_on_a_phone(browser: Chrome, page: Path) -> None:
    facts = look(browser, page, PHONE)
    point = element(browser, f"#search [data-c='{facts['search']['winner']}']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    box = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", point)
    at = {"x": box["x"] + box["width"] / 2 + 3, "y": box["y"] + box["height"] / 2}
    for kind, touches in (("touchStart", [at]), ("touchEnd", [])):
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    tip = element(browser, "#tip")
    assert tip.is_displayed() and "candidate" in tip.text
    edges = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", tip)
    assert edges["left"] >= 0 and edges["right"] <= PHONE


def test_a_name_that_is_html_does_nothing(browser: Chrome, tmp_path: Path) -> None:
    evil = (
        "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    )
    found = [candidate(k, 60.0 + k, 100.0 + k, origin=evil, choices={evil: evil}) for k in range(3)]
    made = make_search(tmp_path / "run", found)
    write_page(collect(made.path), tmp_path / "page.html")
    look(browser, tmp_path / "page.html")
    assert browser.title.endswith("evobit")
    point = element(browser, "#search [data-c='2']")
    hover(browser, point)
    assert evil in element(browser, "#tip").text
    assert browser.title.endswith("evobit")
    assert browser.find_elements(By.TAG_NAME, "img") == []


def test_thousands_of_candidates_are_quick_to_point_at(browser: Chrome, tmp_path: Path) -> None:
    found = [candidate(k, 50 + k * 37 % 1000 / 100, 100.0 + k * 61 % 977) for k in range(5000)]
    write_page(collect(make_search(tmp_path / "run", found).path), tmp_path / "page.html")
    facts = look(browser, tmp_path / "page.html")
    assert facts["search"]["num_candidates"] == 5000
    drawn = browser.find_elements(By.CSS_SELECTOR, "#search svg [data-c]")
    assert 0 < len(drawn) <= 1200
    hover(browser, drawn[len(drawn) // 2])
    assert element(browser, "#tip").text.startswith("candidate ")
