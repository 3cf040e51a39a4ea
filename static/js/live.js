// The balance, live: server-sent events, or a question every five seconds where those fail. All amounts arrive as the
// text to show; the only arithmetic here moves digits for the eye and is never what stays on the page.

const root = document.querySelector("[data-live]");
const state = document.querySelector("[data-live-state]");
const note = document.querySelector("[data-live-note]");
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

const POLL_MS = 5000;
const MOVED_MS = 1500;
const NOTE_MS = 10000;
const FAILURES_BEFORE_POLLING = 3;
const WORDS = {
  live: "Live",
  polling: "Every 5 seconds",
  offline: "Not connected",
  off: "Paused",
};

let source = null;
let poll = null;
let failures = 0;

function show(name) {
  state.dataset.state = name;
  state.textContent = WORDS[name];
}

// --- Showing ---------------------------------------------------------------------------------------------------------

function receive(message) {
  let moved = false;
  for (const balance of message.balances) {
    const box = document.querySelector(`[data-balance="${CSS.escape(balance.asset)}"]`);
    if (!box) {
      // An asset that was not in the wallet when the page was made.
      location.reload();
      return;
    }
    const figure = box.querySelector("[data-figure]");
    const held = document.querySelector(`[data-held="${CSS.escape(balance.asset)}"] .money`);
    if (held && held.value !== balance.held) {
      held.textContent = balance.held_text;
      held.title = balance.held_exact;
      held.value = balance.held;
    }
    if (figure.value !== balance.available) {
      roll(figure, balance);
      point(box, balance);
      announce(balance);
      moved = true;
    }
    moved ||= box.dataset.seq !== String(balance.seq);
    box.dataset.seq = balance.seq;
  }
  if (moved) tellOthers();
}

function settle(figure, balance) {
  const [whole, fraction, tail] = balance.available_parts;
  figure.querySelector(".figure-whole").textContent = whole;
  figure.querySelector(".figure-fraction").textContent = fraction;
  figure.querySelector(".figure-tail").textContent = tail;
}

const rolling = new WeakMap();

function roll(figure, balance) {
  cancelAnimationFrame(rolling.get(figure));
  const from = Number(figure.value);
  const to = Number(balance.available);
  figure.value = balance.available;
  figure.title = balance.available_exact;
  const [whole, fraction, tail] = balance.available_parts;
  if (still.matches || document.hidden) {
    settle(figure, balance);
    return;
  }
  const lead = whole.match(/^[^\d]*/)[0];
  const decimals = Math.max(0, fraction.length - 1);
  const tailDigits = tail.length;
  const began = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - began) / 500);
    if (part === 1) {
      settle(figure, balance);
      return;
    }
    const eased = 1 - (1 - part) ** 3;
    const digits = Math.abs(from + (to - from) * eased).toLocaleString("en-US", {
      minimumFractionDigits: decimals + tailDigits,
      maximumFractionDigits: decimals + tailDigits,
    });
    const [front, back = ""] = digits.split(".");
    figure.querySelector(".figure-whole").textContent = lead + front;
    figure.querySelector(".figure-fraction").textContent = decimals ? `.${back.slice(0, decimals)}` : "";
    figure.querySelector(".figure-tail").textContent = back.slice(decimals);
    rolling.set(figure, requestAnimationFrame(step));
  };
  rolling.set(figure, requestAnimationFrame(step));
}

function point(box, balance) {
  const change = box.querySelector("[data-change]");
  if (!change || !balance.change_text) return;
  change.textContent = balance.change_text;
  change.dataset.direction = balance.change_text.startsWith("+") ? "in" : "out";
  delete change.dataset.show;
  void change.offsetWidth; // Starts the animation anew.
  change.dataset.show = "";
}

let announced = -Infinity;
let waiting = null;

function announce(balance) {
  clearTimeout(waiting);
  waiting = setTimeout(
    () => {
      announced = performance.now();
      note.textContent = `Available balance ${balance.available_text}`;
    },
    Math.max(0, announced + NOTE_MS - performance.now()),
  );
}

let told = -Infinity;
let telling = null;

function tellOthers() {
  if (telling) return;
  telling = setTimeout(
    () => {
      telling = null;
      told = performance.now();
      document.body.dispatchEvent(new CustomEvent("balance-moved"));
    },
    Math.max(0, told + MOVED_MS - performance.now()),
  );
}

// --- Listening -------------------------------------------------------------------------------------------------------

function listen() {
  if (source || document.hidden) return;
  source = new EventSource(root.dataset.live);
  source.addEventListener("open", () => {
    failures = 0;
    stopPolling();
    show("live");
  });
  source.addEventListener("balance", (event) => receive(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    failures += 1;
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      startPolling();
    } else if (failures >= FAILURES_BEFORE_POLLING) {
      startPolling();
    }
  });
}

function stop() {
  source?.close();
  source = null;
  stopPolling();
}

function startPolling() {
  if (poll || document.hidden) return;
  poll = setInterval(ask, POLL_MS);
  ask();
}

function stopPolling() {
  clearInterval(poll);
  poll = null;
}

async function ask() {
  try {
    const response = await fetch(root.dataset.poll, { headers: { Accept: "application/json" } });
    if (response.status === 401) {
      location.reload();
      return;
    }
    if (!response.ok) throw new Error(`answered ${response.status}`);
    receive(await response.json());
    show("polling");
  } catch (error) {
    show("offline");
  }
}

// A page that nobody sees keeps no stream: browsers allow six connections to a server, and tabs are many.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stop();
    show("off");
  } else {
    listen();
  }
});
window.addEventListener("pagehide", stop);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) listen();
});

if (root && state) listen();
