// Buttons that copy the full text of a value, which the page may show shortened.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  event.preventDefault();
  let done = true;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    done = false; // not a secure context, or not permitted
    window.prompt("Copy:", button.dataset.copy);
  }
  if (done) {
    button.classList.add("copied");
    window.setTimeout(() => button.classList.remove("copied"), 1500);
  }
});
