// The live list of events: new ones on top, told once, with a filter and a pause. All texts come with the data.

const ROWS_MAX = 200;

const list = document.querySelector("[data-tail]");
const blank = document.getElementById("tail-row");
const filter = document.querySelector("[data-tail-filter]");
const refusedOnly = document.querySelector("[data-tail-refused]");
const button = document.querySelector("[data-tail-pause]");
const nothing = document.querySelector("[data-tail-nothing]");
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

function receive(message) {
  for (const event of message.events) {
    if (list.querySelector(`[data-id="${CSS.escape(event.id)}"]`)) continue;
    const made = row(event);
    made.classList.add("arrived");
    list.prepend(made);
  }
  while (list.children.length > ROWS_MAX) list.lastElementChild.remove();
  sift();
}

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
