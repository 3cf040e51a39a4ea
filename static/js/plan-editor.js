// The editor of a plan's draft: rows that come and go, fields that go with the pricing model, and what the server says
// the prices come to while they are typed. Nothing is worked out here.

const WAIT_MS = 400;
const editor = document.querySelector("[data-editor]");
const touched = new Set();
const drawn = new Map();
let waiting;
let asked = 0;

function add(button) {
  const kind = button.dataset.add;
  const rows = button.closest("[data-rows]");
  const prefix = rows.dataset.rows;
  const total = editor.querySelector(`[name="${prefix}-TOTAL_FORMS"]`);
  const html = editor.querySelector(`template[data-template="${kind}"]`).innerHTML;
  const number = total.value;
  total.value = Number(number) + 1;
  const holder = document.createElement(kind === "tier" ? "tbody" : "div");
  holder.innerHTML = html.replaceAll("__tiers__", prefix).replaceAll("__prefix__", number);
  const row = holder.firstElementChild;
  rows.querySelector("[data-into]").append(row);
  if (kind === "price") fit(row);
  row.querySelector("select, input:not([type=hidden])")?.focus();
}

// Fields that the chosen model does not have are hidden and not sent.
function fit(price) {
  const model = price.querySelector('[name$="-model"]').value;
  for (const part of price.querySelectorAll("[data-models]")) {
    const own = part.dataset.models.split(" ").includes(model);
    part.hidden = !own;
    for (const field of part.querySelectorAll("input, select, textarea")) field.disabled = !own;
  }
  price.querySelector("[data-amount-head]").textContent = model === "graduated_percentage" ? "Share in it" : "Price in it";
}

// A folded price says what it is.
function entitle(price) {
  const said = price.querySelector(".ante-said");
  if (!said) return;
  price.querySelector("[data-title-what]").textContent = said.dataset.what;
  price.querySelector("[data-title-said]").textContent = said.textContent;
}

function say(problems) {
  for (const place of editor.querySelectorAll("[data-problem]")) {
    const name = place.dataset.problem;
    const shown = "allProblems" in editor.dataset || touched.has(name);
    const found = shown ? (problems[name] ?? []) : [];
    place.textContent = found.join(" ");
    place.closest(".ante-field")?.classList.toggle("has-error", found.length > 0);
  }
}

async function look() {
  const turn = ++asked;
  const response = await fetch(editor.dataset.editor, { method: "POST", body: new FormData(editor) });
  if (!response.ok || turn !== asked) return;
  const answer = await response.json();
  if (turn !== asked) return;
  say(answer.problems);
  editor.querySelector("[data-summary]").innerHTML = answer.summary;
  for (const [prefix, html] of Object.entries(answer.previews)) {
    const place = editor.querySelector(`[data-preview="${prefix}"]`);
    if (drawn.get(prefix) === html) continue;
    drawn.set(prefix, html);
    place.innerHTML = html;
    entitle(place.closest("[data-price]"));
    document.dispatchEvent(new CustomEvent("htmx:afterSettle", { detail: { elt: place } })); // The charts are drawn anew.
  }
}

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(() => look().catch(() => {}), WAIT_MS); // The server may be restarting: the next change asks again.
}

function hideRemoved() {
  for (const box of editor.querySelectorAll('[name$="-DELETE"]')) box.closest("[data-row]").hidden = box.checked;
}

editor.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  if (button) add(button);
});
editor.addEventListener("input", later);
editor.addEventListener("change", (event) => {
  touched.add(event.target.name);
  if (event.target.name.endsWith("-model")) fit(event.target.closest("[data-price]"));
  hideRemoved();
  later();
});
for (const price of editor.querySelectorAll("[data-price]")) {
  fit(price);
  entitle(price);
  if ([...price.querySelectorAll("[data-problem]")].some((place) => place.textContent.trim())) price.open = true;
}
hideRemoved();
