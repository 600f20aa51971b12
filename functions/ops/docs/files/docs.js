// Shows the document, and makes the town that its examples speak of.

const KEPT = "plaza-docs-town";

/** Puts `found` (pairs of what stands in the document, and what to put there) into anything that JSON can hold. */
function fill(value, found) {
  let text = JSON.stringify(value);
  for (const [name, real] of found) text = text.replaceAll(name, real);
  return JSON.parse(text);
}

/** What a JSON pointer (RFC 6901) leads to. */
function at(value, pointer) {
  return pointer.split("/").slice(1).reduce((inner, key) => inner?.[key], value);
}

/** Makes the calls of `x-example-town`. Gives what they found. */
async function build(town) {
  const unique = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const found = town.names.map((name) => [name, `${name}-${unique}`]);
  for (const planned of town.calls) {
    const call = fill(planned, found);
    const headers = call.token ? { authorization: `Bearer ${call.token}` } : {};
    const init = { method: call.method, headers };
    if (call.body !== null) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(call.body);
    } else if (call.picture) {
      headers["content-type"] = "image/png";
      init.body = Uint8Array.from(atob(call.picture), (character) => character.charCodeAt(0));
    }
    const response = await fetch(call.path, init);
    const answer = response.status === 204 ? null : await response.json();
    if (response.status !== call.status) {
      throw new Error(`${call.method} ${call.path} answered ${response.status}: ${answer?.detail ?? ""}`);
    }
    for (const [name, pointer] of Object.entries(planned.take)) found.push([name, at(answer, pointer)]);
  }
  return found;
}

function show(openapi, found) {
  const ui = window.SwaggerUIBundle({
    spec: fill(openapi, found),
    domNode: document.querySelector("#api"),
    deepLinking: true,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    onComplete: () => {
      const token = found.find(([name]) => name === openapi["x-example-town"].caller)?.[1];
      if (token) ui.preauthorizeApiKey("token", token);
    },
  });
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

const openapi = await (await fetch("/openapi.json")).json();
show(openapi, kept());

const button = document.querySelector("#town");
const outcome = document.querySelector("#outcome");
button.addEventListener("click", async () => {
  button.disabled = true;
  outcome.value = "…";
  try {
    const found = await build(openapi["x-example-town"]);
    sessionStorage.setItem(KEPT, JSON.stringify(found));
    show(openapi, found);
    outcome.value = "There it is.";
  } catch (error) {
    outcome.value = error.message;
  } finally {
    button.disabled = false;
  }
});
