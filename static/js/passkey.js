// Passkeys: ask the server what to ask for, let the browser ask the person, hand the answer back.

async function post(address, token, body) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRFToken": token },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail || "");
  return answer;
}

async function run(button) {
  const { passkey, begin, complete, after, token } = button.dataset;
  const options = await post(begin, token, {});
  const publicKey =
    passkey === "create"
      ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
      : PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await navigator.credentials[passkey]({ publicKey });
  const answer = await post(complete, token, credential.toJSON());
  window.location.assign(answer.redirect_url || after);
}

function say(button, text) {
  const note = document.createElement("p");
  note.className = "notice";
  note.setAttribute("role", "alert");
  note.textContent = text;
  button.parentElement.querySelector(".notice")?.remove();
  button.after(note);
}

// A browser makes passkeys for a name and never for a bare address, and only for the name they were made for.
const able = "PublicKeyCredential" in window && "parseCreationOptionsFromJSON" in PublicKeyCredential;
for (const button of document.querySelectorAll("[data-passkey]")) {
  if (!able || button.dataset.host !== window.location.hostname) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await run(button);
    } catch (error) {
      say(button, error.name === "NotAllowedError" ? button.dataset.unconfirmed : error.message || button.dataset.failed);
    } finally {
      button.disabled = false;
    }
  });
}
