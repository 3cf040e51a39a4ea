// Listening to the server: server-sent events, or a question every five seconds where those fail. Nothing while nobody
// looks: browsers allow six connections to a server, and tabs are many.

const POLL_MS = 5000;
const FAILURES_BEFORE_POLLING = 3;

// `stream` and `poll` are addresses, `event` the name of the stream's messages, `state` the element that says how it
// goes, in its own words, `receive` gets each message. What comes back can `pause` and `resume`.
window.anteListen = ({ stream, poll, event, state, receive }) => {
  let source = null;
  let timer = null;
  let failures = 0;
  let paused = false;

  function show(name) {
    state.dataset.state = name;
    state.textContent = state.getAttribute(`data-when-${name}`);
  }

  function listen() {
    if (source || paused || document.hidden) return;
    source = new EventSource(stream);
    source.addEventListener("open", () => {
      failures = 0;
      stopPolling();
      show("live");
    });
    source.addEventListener(event, (message) => receive(JSON.parse(message.data)));
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
    if (timer || paused || document.hidden) return;
    timer = setInterval(ask, POLL_MS);
    ask();
  }

  function stopPolling() {
    clearInterval(timer);
    timer = null;
  }

  async function ask() {
    try {
      const response = await fetch(poll, { headers: { Accept: "application/json" } });
      if (response.status === 401) {
        location.reload();
        return;
      }
      if (!response.ok) throw new Error(`answered ${response.status}`);
      const message = await response.json();
      if (!timer) return;
      receive(message);
      show("polling");
    } catch (error) {
      if (timer) show("offline");
    }
  }

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
  listen();
  return {
    pause() {
      paused = true;
      stop();
      show("off");
    },
    resume() {
      paused = false;
      listen();
    },
  };
};
