// A page that shows work in progress looks again every few seconds, in place, until the work is over.

const SECONDS = 3;

async function again() {
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-again]");
    const shown = document.querySelector("[data-again]");
    if (!response.ok || !fresh) return;
    shown.replaceWith(fresh);
    document.dispatchEvent(new CustomEvent("htmx:afterSettle", { detail: { elt: fresh } })); // The charts are drawn anew.
    if (fresh.dataset.again !== "running") return;
  } catch {
    // The server may be restarting.
  }
  setTimeout(again, SECONDS * 1000);
}

if (document.querySelector("[data-again=running]")) setTimeout(again, SECONDS * 1000);
