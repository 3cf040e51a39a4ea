// The frame: theme choice, menus that close, questions before what cannot be taken back, what is shown once, sessions.

const themes = document.querySelector("[data-themes]");
if (themes) {
  const buttons = [...themes.querySelectorAll("[data-theme-choice]")];
  const show = () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === window.anteTheme.chosen()));
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      window.anteTheme.choose(button.dataset.themeChoice);
      show();
    });
  }
  themes.hidden = false;
  show();
}

for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

// A button with ``data-ask`` says what it does, and sends its form once that is wanted.
const ask = document.querySelector("dialog.ask");
let wanted = null;
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!ask || !button?.dataset.ask || button === wanted) return;
  event.preventDefault();
  const yes = ask.querySelector("[value=yes]");
  ask.querySelector("h2").textContent = button.getAttribute("aria-label") ?? button.textContent;
  ask.querySelector("p").textContent = button.dataset.ask;
  yes.textContent = button.textContent;
  ask.returnValue = "";
  ask.onclose = () => {
    if (ask.returnValue !== "yes") return;
    wanted = button;
    button.form.requestSubmit(button);
    wanted = null;
  };
  ask.showModal();
});

// What is shown once can be taken along, where the browser lets pages write to the clipboard.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
    button.textContent = button.dataset.copied;
  });
}

// What was refused may be far down the page.
document.querySelector("main [aria-invalid=true]")?.focus();

// A fragment of a page that turned into the sign-in page means that the session is over.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL || location.href).pathname === "/sign-in") {
    event.detail.shouldSwap = false;
    location.reload();
  }
});
