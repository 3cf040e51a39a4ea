// The live list of events: new ones on top, told once, with a filter and a pause. All texts come with the data. What
// somebody looks at stays where it is: new rows come in above, and who only watches is taken up to them.

const ROWS_MAX = 200;
const AT_TOP = 2;

const list = document.querySelector("[data-tail]");
const blank = document.getElementById("tail-row");
const filter = document.querySelector("[data-tail-filter]");
const refusedOnly = document.querySelector("[data-tail-refused]");
const button = document.querySelector("[data-tail-pause]");
const nothing = document.querySelector("[data-tail-nothing]");
const box = document.querySelector("[data-tail-box]");
const newer = document.querySelector("[data-tail-newer]");
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: list.dataset.zone });

function row(event) {
  const made = blank.content.cloneNode(true).firstElementChild;
  made.dataset.id = event.id;
  made.dataset.status = event.status;
  const link = made.querySelector("a");
  link.href = event.href;
  link.textContent = event.event;
  const when = made.querySelector("time");
  when.dateTime = event.at;
  when.textContent = clock.format(new Date(event.at));
  made.querySelector("[data-type]").textContent = event.type;
  const status = made.querySelector("[data-state]");
  status.textContent = event.status_text;
  status.title = event.refusal;
  status.dataset.variant = event.status === "charged" ? "brand" : "bad";
  made.querySelector("[data-amount]").textContent = event.amount;
  for (const { name, value } of event.bears) {
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.title = name;
    badge.textContent = value;
    made.querySelector("[data-bears]").append(badge, " ");
  }
  return made;
}

function fits(element) {
  const wanted = filter.value.trim().toLowerCase();
  if (refusedOnly.checked && element.dataset.status === "charged") return false;
  return !wanted || element.textContent.toLowerCase().includes(wanted);
}

function sift() {
  let shown = 0;
  for (const element of list.children) {
    element.hidden = !fits(element);
    shown += element.hidden ? 0 : 1;
  }
  nothing.hidden = shown > 0;
}

let follows = true; // Until the reader scrolls, and again once back on top.

function atTop() {
  return box.scrollTop < AT_TOP;
}

function reads() {
  return box.matches(":hover") || box.contains(document.activeElement);
}

let frame = 0;

// In a frame of its own, after the one in which the rows came in above.
function rise() {
  frame = requestAnimationFrame(() => {
    frame = requestAnimationFrame(() => (box.scrollTop = 0));
  });
}

function receive(message) {
  const watches = (follows || atTop()) && !reads();
  cancelAnimationFrame(frame);
  const first = list.querySelector("tr:not([hidden])");
  const place = first?.offsetTop;
  for (const event of message.events) {
    if (list.querySelector(`[data-id="${CSS.escape(event.id)}"]`)) continue;
    const made = row(event);
    made.classList.add("arrived");
    list.prepend(made);
  }
  sift();
  if (first) box.scrollTop += first.offsetTop - place;
  while (list.children.length > ROWS_MAX) list.lastElementChild.remove();
  if (watches) rise();
  else newer.hidden = atTop();
}

for (const type of ["wheel", "touchmove", "keydown", "pointerdown"]) {
  box.addEventListener(type, () => (follows = false), { passive: true });
}
box.addEventListener("scroll", () => {
  if (!atTop()) return;
  follows = true;
  newer.hidden = true;
});
box.addEventListener("pointerleave", () => {
  if (follows && !reads()) rise();
});
newer.addEventListener("click", () => {
  follows = true;
  rise();
});

const listening = window.anteListen({
  stream: list.dataset.stream,
  poll: list.dataset.poll,
  event: "events",
  state: document.querySelector("[data-live-state]"),
  receive,
});

let paused = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.querySelector("span").textContent = paused ? button.dataset.resume : button.dataset.pause;
  button.setAttribute("aria-pressed", String(paused));
  if (paused) listening.pause();
  else listening.resume();
});
filter.form.addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", sift);
refusedOnly.addEventListener("change", sift);
filter.form.classList.remove("awaits-script"); // Its place was kept, so that nothing moves.
sift();
