// Fetches a small object's text when asked, so that a slow bucket delays no page.
const ask = document.getElementById("preview-button");
if (ask) {
  ask.addEventListener("click", async (event) => {
    event.preventDefault();
    const shown = document.getElementById("preview");
    shown.hidden = false;
    shown.textContent = "Reading …";
    try {
      const answer = await fetch(ask.href, {
        credentials: "same-origin",
        signal: AbortSignal.timeout(30000),
      });
      if (answer.redirected) {
        // The session is over: the page itself leads to the login and back.
        window.location.reload();
        return;
      }
      shown.textContent = await answer.text();
      shown.classList.toggle("failed", !answer.ok);
    } catch {
      shown.textContent = "The service did not answer.";
      shown.classList.add("failed");
    }
  });
}
