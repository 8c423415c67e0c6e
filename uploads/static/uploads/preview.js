// Fetches a small object's text on request: a slow bucket must not delay the page.
const button = document.getElementById("preview-button");
if (button) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    const shown = document.getElementById("preview");
    shown.hidden = false;
    shown.textContent = "Reading …";
    try {
      const answer = await fetch(button.href, {
        credentials: "same-origin",
        signal: AbortSignal.timeout(30000),
      });
      if (answer.redirected) {
        // The session has expired: reloading leads to the login, and then back here.
        window.location.reload();
        return;
      }
      // An error outside of the preview, such as an unavailable database, is a page.
      shown.textContent = answer.headers.get("Content-Type").startsWith("text/plain")
        ? await answer.text()
        : `The service answered with status ${answer.status}.`;
      shown.classList.toggle("failed", !answer.ok);
    } catch {
      shown.textContent = "The service did not answer.";
      shown.classList.add("failed");
    }
  });
}
