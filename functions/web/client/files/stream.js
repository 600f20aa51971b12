// The stream of events (server-sent events), read with fetch: unlike EventSource it can send the Authorization header, so
// that no ticket is needed, and say what went wrong. (A client that wants EventSource: POST /api/stream/ticket first, and a new
// ticket for each new connection.)
//
// A cut is nothing special. The next connection names the last id seen (`Last-Event-ID`), and the server sends what was
// missed, once and in order. Where it cannot, it says `reset`, and everything is to be fetched anew.

const PAUSE_MS_MIN = 250;
const PAUSE_MS_MAX = 30_000;
/// The server sends a comment every 25 seconds; a stream that is silent for longer than two of them is dead.
const SILENCE_MS_MAX = 60_000;

export class Stream {
  #lastId = null;
  #running = false;
  #failures = 0;
  #retryMs = null;
  #abort = new AbortController();
  #wake = () => {};

  /// `open(headers, signal)` gives a response; it throws an error whose `status` is 401 when the session is over.
  /// `onEvent(name, data)` takes each event. `onFresh()` is called when events before now are not known: at the beginning, and
  /// after `reset`. `onState("connecting" | "live" | "waiting")` is for people.
  constructor({ open, onEvent, onFresh, onState }) {
    Object.assign(this, { open, onEvent, onFresh, onState });
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#run();
  }

  stop() {
    this.#running = false;
    this.#abort.abort();
    this.#wake();
  }

  /// Tries now, if it waits: the network is back, the page is looked at again.
  hurry() {
    this.#wake();
  }

  /// Forgets what was seen and begins again: the state could not be fetched.
  restart() {
    this.#lastId = null;
    this.#abort.abort();
  }

  async #run() {
    while (this.#running) {
      this.onState("connecting");
      try {
        await this.#connection();
      } catch (error) {
        if (error.status === 401) return;
        this.#retryMs = error.retryAfterMs ?? this.#retryMs;
      }
      if (!this.#running) return;
      this.onState("waiting");
      await this.#pause();
    }
  }

  /// One connection, to its end, whatever ends it.
  async #connection() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    let watchdog;
    const stillAlive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.#abort.abort(), SILENCE_MS_MAX);
    };
    stillAlive();
    try {
      const headers = { accept: "text/event-stream" };
      if (this.#lastId !== null) headers["last-event-id"] = this.#lastId;
      const response = await this.open(headers, signal);
      const isFresh = this.#lastId === null;
      this.onState("live");
      if (isFresh) this.onFresh();
      const parser = new Parser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        stillAlive();
        for (const frame of parser.push(value)) this.#take(frame);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  #take({ id, event, data, retry }) {
    // Something came: the next cut is the first.
    this.#failures = 0;
    if (retry !== null) this.#retryMs = retry;
    if (id !== null) this.#lastId = id;
    if (data === null) return;
    if (event === "reset") this.onFresh();
    else if (event !== "end") this.onEvent(event, JSON.parse(data));
  }

  /// Longer after each failure in a row, and never the same for all clients of a server that restarts.
  async #pause() {
    const ceiling = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** this.#failures);
    const pause = Math.max(PAUSE_MS_MIN + Math.random() * ceiling, Math.min(this.#retryMs ?? 0, PAUSE_MS_MAX));
    this.#failures += 1;
    this.#retryMs = null;
    await new Promise((done) => {
      this.#wake = done;
      setTimeout(done, pause);
    });
  }
}

/// Frames out of text that comes in pieces (WHATWG HTML, section 9.2.6).
export class Parser {
  #rest = "";
  #frame = empty();

  /// The frames that this piece completes.
  push(text) {
    // A carriage return at the end may be half of a line's end.
    const whole = this.#rest + text;
    const cut = whole.endsWith("\r") ? whole.length - 1 : whole.length;
    const lines = whole.slice(0, cut).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + whole.slice(cut);
    const frames = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#frame.data !== null || this.#frame.id !== null || this.#frame.retry !== null) frames.push(this.#frame);
        this.#frame = empty();
      } else {
        this.#field(line);
      }
    }
    return frames;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#frame.event = value;
    else if (name === "data") this.#frame.data = this.#frame.data === null ? value : `${this.#frame.data}\n${value}`;
    else if (name === "id" && !value.includes("\0")) this.#frame.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.#frame.retry = Number(value);
  }
}

const empty = () => ({ id: null, event: "message", data: null, retry: null });
