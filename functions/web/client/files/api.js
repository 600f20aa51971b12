// Calls of the API: tokens, refusals, what is tried again.
//
// Where tokens are kept. The access token, good for minutes, is only in memory. The refresh token is in sessionStorage: it
// survives a reload of the tab, ends with the tab, and no other tab has it, so that two tabs never use the same one (it is
// good once; a second use ends the session). A script that got into this page could read it; that none does is the business of
// the Content-Security-Policy and of never making markup of text. It is not in localStorage, which outlives the tab, and not
// in a cookie, which the browser would send by itself and which the API does not read.

const STORED_AS = "plaza.session";
/// A token that ends so soon is refreshed before it is used.
const REFRESH_BEFORE_MS = 30_000;
/// How often a call is made again when no answer came, or one that says "later". All may be repeated: a POST carries an
/// Idempotency-Key, by which the server knows it again, and PUT, PATCH and DELETE say how things are to be.
const RETRIES_MAX = 2;
const RETRY_PAUSE_MS = 500;
/// No list is read further than this: 1,000 items.
const PAGES_MAX = 10;
/// How long a reloaded page waits for the one before it to be gone.
const TAB_LOCK_MS_MAX = 1_000;
/// A longer `Retry-After` is not waited for here: the problem is shown.
const RETRY_AFTER_MS_MAX = 5_000;
/// Where there were too many requests (429), a call waits for its turn, in all not longer than this. No limit's window is longer.
const TURN_MS_MAX = 65_000;
/// Calls that wait for their turn do not all come at once.
const TURN_JITTER_MS = 400;

/// A refusal: the API's problem document (RFC 9457). `status` is 0 where there was no answer at all.
export class Problem extends Error {
  constructor(status, document = {}, retryAfterMs = null) {
    super(document.detail ?? document.title ?? `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = document.code ?? (status === 0 ? "no_answer" : "unknown");
    this.errors = document.errors ?? [];
    this.requestId = document.request_id ?? null;
    this.retryAfterMs = retryAfterMs;
  }

  /// Whether the same call may succeed later.
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

let refreshToken = null;
/// The Idempotency-Key of the refresh with this token: when the answer is lost (no network, a reload), the same call gives it again.
let refreshKey = null;
let accessToken = null;
let accessEndsAt = 0;
let refreshing = null;
let clockAheadMs = 0;
let onEnd = () => {};
let onLimited = () => {};
/// How many calls wait for their turn.
let limited = 0;
/// Whether the session is ending because its user wants it to.
let leaving = false;

/// What is called when the session ended other than by `logOut`.
export function whenEnded(callback) {
  onEnd = callback;
}

/// `callback(isLimited)` is told when calls begin to wait because there were too many, and when none waits any more.
export function whenLimited(callback) {
  onLimited = callback;
}

/// Something that nobody else has made up. (`crypto.randomUUID` is only there in secure contexts.)
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/// The time as the server has it.
export const serverNow = () => Date.now() + clockAheadMs;

/// Takes up the session of this tab; false where there is none.
export async function resume() {
  const stored = sessionStorage.getItem(STORED_AS);
  if (stored === null) return false;
  const { token, key, tab } = JSON.parse(stored);
  // A duplicated tab has a copy of the storage: whoever holds the lock is the original, and the copy begins without a session.
  if (!(await holdTab(tab))) {
    sessionStorage.clear();
    return false;
  }
  [refreshToken, refreshKey] = [token, key];
  return true;
}

export async function logIn(name, password) {
  const form = new URLSearchParams({ username: name, password });
  take(await answer(await request("POST", "/api/auth/login", { body: form })));
}

export const register = (fields) => request("POST", "/api/auth/register", { json: fields }).then(answer);

/// Ends this session, or all of them. It ends here, too, when the server cannot be told.
export async function logOut(all = false) {
  leaving = true;
  try {
    await call("POST", "/api/auth/logout", { json: { all }, patient: false });
  } finally {
    forget();
  }
}

/// Deletes the account, and with it the session.
export async function deleteAccount(password) {
  leaving = true;
  try {
    await call("DELETE", "/api/profile/me", { json: { password } });
    forget();
  } catch (problem) {
    if (problem.status === 401) {
      forget();
      onEnd();
    }
    throw problem;
  } finally {
    leaving = false;
  }
}

function forget() {
  drop();
  sessionStorage.clear();
  leaving = false;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, json) => call("POST", path, { json });
export const put = (path, json) => call("PUT", path, { json });
export const patch = (path, json) => call("PATCH", path, { json });
export const del = (path) => call("DELETE", path);

/// The pages of a list, one after another, each an array of items.
export async function* pages(path, query = {}) {
  let cursor = "";
  while (cursor !== null) {
    const page = await get(`${path}?${new URLSearchParams({ ...query, limit: "100", ...(cursor && { cursor }) })}`);
    yield page.items;
    cursor = page.next_cursor;
  }
}

/// All items of a list.
export async function all(path, query = {}) {
  const items = [];
  let read = 0;
  for await (const page of pages(path, query)) {
    items.push(...page);
    read += 1;
    if (read === PAGES_MAX) break;
  }
  return items;
}

/// The same, and null where the API says 404 or 405: for what an installation may not have.
export const optional = (promise) =>
  promise.catch((problem) => {
    if (problem.status === 404 || problem.status === 405) return null;
    throw problem;
  });

/// One call with the access token: gives the JSON of the answer, or throws a Problem. Where there were too many before it, it waits
/// for its turn, unless it is not `patient`.
export async function call(method, path, { patient = true, ...options } = {}) {
  const headers = method === "POST" ? { "idempotency-key": newKey(), ...options.headers } : options.headers;
  const turnAt = Date.now() + TURN_MS_MAX;
  for (let tries = 0; ; ) {
    try {
      return await answer(await authorized(method, path, { ...options, headers }));
    } catch (problem) {
      const wait = problem.retryAfterMs ?? RETRY_PAUSE_MS * 2 ** tries;
      if (problem.status === 429) {
        if (!patient || Date.now() + wait > turnAt) throw problem;
        await turn(wait);
        continue;
      }
      tries += 1;
      if (!problem.passing || tries > RETRIES_MAX || wait > RETRY_AFTER_MS_MAX) throw problem;
      await pause(wait);
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/// Waits because there were too many requests, and lets that be known.
async function turn(ms) {
  limited += 1;
  if (limited === 1) onLimited(true);
  await pause(ms + Math.random() * TURN_JITTER_MS);
  limited -= 1;
  if (limited === 0) onLimited(false);
}

/// One call with the access token: gives the response as it is. A token that the server no longer takes is refreshed, once.
export async function authorized(method, path, options = {}) {
  const token = accessEndsAt - REFRESH_BEFORE_MS > Date.now() ? accessToken : await refresh(accessToken);
  const response = await request(method, path, { ...options, token });
  if (response.status !== 401) return response;
  return request(method, path, { ...options, token: await refresh(token) });
}

/// New tokens in place of those with this access token. Whoever comes while that is under way waits for the same: a refresh
/// token is good once.
function refresh(used) {
  if (accessToken !== used && accessToken !== null) return Promise.resolve(accessToken);
  refreshing ??= renew().finally(() => (refreshing = null));
  return refreshing;
}

async function renew() {
  if (refreshToken === null) throw new Problem(401, { code: "unauthorized" });
  try {
    const headers = { "idempotency-key": refreshKey };
    take(await answer(await request("POST", "/api/auth/refresh", { json: { refresh_token: refreshToken }, headers })));
    return accessToken;
  } catch (problem) {
    // The session is over. Anything else (no network, a server that restarts) leaves it as it is.
    if (problem.status === 401 && !leaving) {
      drop();
      onEnd();
    }
    throw problem;
  }
}

function take(tokens) {
  const tab = tabId ?? newKey();
  accessToken = tokens.access_token;
  accessEndsAt = Date.now() + tokens.expires_in * 1_000;
  refreshToken = tokens.refresh_token;
  refreshKey = newKey();
  sessionStorage.setItem(STORED_AS, JSON.stringify({ token: refreshToken, key: refreshKey, tab }));
  if (tabId === null) holdTab(tab);
}

function drop() {
  accessToken = refreshToken = null;
  accessEndsAt = 0;
  sessionStorage.removeItem(STORED_AS);
}

let tabId = null;

/// Takes the lock of this tab until its page is gone; false where another page keeps it. The page that was here before a reload may
/// take a moment to go. (Locks exist in secure contexts only; without them a duplicated tab ends the session of both.)
function holdTab(id) {
  if (!navigator.locks) {
    tabId = id;
    return Promise.resolve(true);
  }
  return new Promise((decided) => {
    const held = () => {
      tabId = id;
      decided(true);
      return new Promise(() => {});
    };
    navigator.locks.request(`plaza.tab.${id}`, { signal: AbortSignal.timeout(TAB_LOCK_MS_MAX) }, held).catch(() => decided(false));
  });
}

async function request(method, path, { json, body, token, headers = {}, signal } = {}) {
  const all = new Headers(headers);
  if (token) all.set("authorization", `Bearer ${token}`);
  if (json !== undefined) all.set("content-type", "application/json");
  try {
    const response = await fetch(path, {
      method, signal, headers: all, cache: "no-store", credentials: "omit",
      body: json === undefined ? body : JSON.stringify(json),
    });
    const date = Date.parse(response.headers.get("date"));
    if (!Number.isNaN(date)) clockAheadMs = date - Date.now();
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0);
  }
}

async function answer(response) {
  let document = null;
  if (response.status !== 204) {
    const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
    try {
      document = isJson ? await response.json() : null;
    } catch {
      throw new Problem(0);
    }
  }
  if (response.ok) return document;
  throw problemOf(response, document);
}

/// The problem that a response is; its document, where it was read.
export function problemOf(response, document) {
  const seconds = Number.parseInt(response.headers.get("retry-after"), 10);
  return new Problem(response.status, document ?? {}, Number.isNaN(seconds) ? null : seconds * 1_000);
}
