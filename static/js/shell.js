// The frame: theme choice, menus that close, sessions that ended.

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

// A fragment of a page that turned into the sign-in page means that the session is over.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL || location.href).pathname === "/sign-in") {
    event.detail.shouldSwap = false;
    location.reload();
  }
});
