// Buttons that copy a text which the page shows shortened.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  event.preventDefault();
  let done = true;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    done = false; // no secure context, or not allowed
    window.prompt("Copy:", button.dataset.copy);
  }
  if (done) {
    button.classList.add("copied");
    window.setTimeout(() => button.classList.remove("copied"), 1500);
  }
});
