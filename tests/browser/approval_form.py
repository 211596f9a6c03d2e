"""The form of a suspended run, in both of Prefect's user interfaces, driven as a person does: by what is written on it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

EVIDENCE = "Open the evidence page"
PATIENCE_S = 120


class ApprovalForm(ABC):
    """The form of one run; every step waits for what it needs."""

    path: str
    submit_button: str

    def __init__(self, browser: Chrome, prefect: str) -> None:
        self.browser, self.prefect = browser, prefect

    def open(self, run: str) -> "ApprovalForm":
        """Go to the run's page and open its form."""
        self.browser.get(f"{self.prefect}{self.path}/runs/flow-run/{run}")
        self.until("a suspended run", lambda: "Suspended" in self.browser.find_element(By.TAG_NAME, "body").text)
        self._resume()
        self.until("the evidence summary in the form", lambda: EVIDENCE in self.text)
        return self

    @property
    def text(self) -> str:
        """All that a person reads in the form."""
        return self._dialog().text

    def follow_link(self) -> None:
        """Click the link to the evidence page, and look at the window where it opens."""
        self._dialog().find_element(By.LINK_TEXT, EVIDENCE).click()
        self.browser.switch_to.window(self.browser.window_handles[-1])
        self.until("the page of a release", lambda: urlsplit(self.browser.current_url).path.startswith("/releases/"))

    def fill(self, decision: str, approver: str = "", reason: str = "") -> None:
        """Choose the decision and type what is given, until all of it stands there: the form is drawn anew after a choice."""
        self._choose(decision)
        for label, text in {"Approver": approver, "Reason": reason}.items():
            if text:
                self.until(f"{text!r} as {label}", lambda label=label, text=text: self._type(label, text))

    def _type(self, label: str, text: str) -> bool:
        field = self._dialog().find_element(By.XPATH, f".//label[normalize-space()='{label}']/following::textarea[1]")
        if field.get_attribute("value") != text:
            field.send_keys(Keys.CONTROL + "a")
            field.send_keys(text)
        return field.get_attribute("value") == text

    def press_submit(self) -> None:
        """Send the form, whatever becomes of it."""
        self._button(self._dialog(), self.submit_button).click()

    def submit(self) -> None:
        """Send the form and see it close; pressed again where the server did not take it, since a busy SQLite is locked at times."""
        for _ in range(4):
            self.press_submit()
            with suppress(AssertionError):
                self.until("the form to close", self._is_closed, within_s=30)
                return
        self.until("the form to close", self._is_closed)

    def _is_closed(self) -> bool:
        return not self.browser.find_elements(By.CSS_SELECTOR, "[role=dialog]")

    def until(self, what: str, holds: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """What `holds` says as soon as it is true; the failure names what was expected and shows the page."""
        wait = WebDriverWait(self.browser, within_s, ignored_exceptions=(StaleElementReferenceException,))
        try:
            return wait.until(lambda _: holds())
        except Exception as fault:
            page = self.browser.find_element(By.TAG_NAME, "body").text
            raise AssertionError(f"expected {what} within {within_s} s, found at {self.browser.current_url}:\n{page}") from fault

    def _dialog(self) -> WebElement:
        found: WebElement = self.until("an open form", lambda: self.browser.find_elements(By.CSS_SELECTOR, "[role=dialog]"))[-1]
        return found

    def _button(self, inside: WebElement | Chrome, name: str) -> WebElement:
        path = f".//button[normalize-space()='{name}'] | .//*[@role='menuitem'][normalize-space()='{name}']"
        found: WebElement = self.until(f"a button {name!r}", lambda: inside.find_elements(By.XPATH, path))[0]
        return found

    @abstractmethod
    def _resume(self) -> None:
        """Press what opens the form."""

    @abstractmethod
    def _choose(self, decision: str) -> None:
        """Set the first field."""


class LandingForm(ApprovalForm):
    """V2, where Prefect's own address leads."""

    path = "/v2"
    submit_button = "Resume"

    def refusal(self) -> str:
        """The server's words about a form that it did not take."""
        seen: WebElement = self.until("a refusal", lambda: self.browser.find_elements(By.CSS_SELECTOR, "[data-sonner-toast]"))[0]
        return seen.text

    def _resume(self) -> None:
        self._button(self.browser, "Open menu").click()
        self._button(self.browser, "Resume").click()

    def _choose(self, decision: str) -> None:
        self._dialog().find_element(By.CSS_SELECTOR, "button[aria-label='Select Decision']").click()
        path = f"//*[@role='option'][normalize-space()='{decision}']"
        self.until(f"a choice {decision!r}", lambda: self.browser.find_elements(By.XPATH, path))[0].click()


class ClassicForm(ApprovalForm):
    """V1, behind 'Switch to V1 UI'."""

    path = ""
    submit_button = "Submit"

    def _resume(self) -> None:
        self._button(self.browser, "Resume").click()

    def _choose(self, decision: str) -> None:
        Select(self._dialog().find_element(By.CSS_SELECTOR, "select:has(option)")).select_by_visible_text(decision)
