// Lets the theme work under a content security policy without unsafe-inline and unsafe-eval. Its Alpine is the build
// that reads expressions itself: it knows no globals, no arrow functions and one statement at a time, so what the theme
// writes beyond that is said here instead.

// htmx: neither inline styles (they are in theme.css) nor code in attributes.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;

const OPEN = "sidebarDesktopOpen";

document.addEventListener("alpine:init", () => {
  for (const name of ["theme", "searchForm", "searchDropdown", "searchCommand"]) Alpine.data(name, window[name]);

  // What is true of a whole page: the tab that is open, and whether the menu is.
  const first = /activeTab: '([^']*)'/.exec(document.body.getAttribute("x-data"))?.[1] ?? "";
  Alpine.data("page", () => ({
    activeTab: window.getCurrentTab?.() || first,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(OPEN) !== "0",
    // A form comes back to the tab from which it was sent.
    window: { location: { pathname: location.pathname, search: location.search } },
    init() {
      this.$watch(OPEN, (open) => localStorage.setItem(OPEN, open ? "1" : "0"));
    },
  }));
  // As an object its parts are set one by one; as a text it would be an inline style.
  document.getElementById("changelist-actions")?.setAttribute("x-bind:style", "{ width: changeListWidth + 'px' }");
  document.body.setAttribute("x-data", "page");
  document.body.removeAttribute("x-init");
  for (const button of document.querySelectorAll(`[x-on\\:click*="${OPEN}"]`)) {
    button.setAttribute("x-on:click", `${OPEN} = !${OPEN}`);
  }
});
