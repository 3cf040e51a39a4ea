// Before the first paint, so that a dark page never flashes white. Without a choice of one's own: as the system.
(function () {
  "use strict";
  var KEY = "ante-theme";
  var system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      var kept = localStorage.getItem(KEY);
      return kept === "light" || kept === "dark" ? kept : "system";
    } catch (error) {
      return "system";
    }
  }

  function apply() {
    var choice = chosen();
    var dark = choice === "dark" || (choice === "system" && system.matches);
    document.documentElement.classList.toggle("dark", dark);
    document.documentElement.classList.toggle("light", !dark);
    document.dispatchEvent(new CustomEvent("theme-changed"));
  }

  window.anteTheme = {
    chosen: chosen,
    choose: function (choice) {
      try {
        if (choice === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, choice);
      } catch (error) {
        // A browser that keeps nothing still follows the system.
      }
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
