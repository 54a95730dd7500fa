// A client of the text chat, to be used, or copied: it needs nothing else.
//
//   import { ChatClient } from "./chat_client.js";
//
//   const chat = new ChatClient("wss://diary.example.com/chat-ws");
//   for await (const event of chat.ask("지난달에 지수를 언제 만났지?")) {
//     if (event.type === "text") show(event.text);
//   }
//
// The page must be one of the server's own, with somebody signed in: the browser sends the cookie.

/** Why there is no answer: `reason` is no-connection, no-answer, stopped, closed, or what the option `mayRetry` gave. */
export class ChatFailed extends Error {
  constructor(reason) {
    super(reason);
    this.name = "ChatFailed";
    this.reason = reason;
  }
}

/**
 * One session of the chat, which goes on over broken connections. Questions are asked one after the other.
 *
 * A connection that fails or breaks is tried again `tries` times, after waits that double from `firstWaitMs`, each of which
 * is cut at random to no less than its half. `openMs` is how long a connection may take to open, `answerMs` the next
 * event to come; tokens are collected for `bufferMs`. `mayRetry` is awaited after a connection that failed: what it
 * gives, if anything, ends the tries.
 *
 * It dispatches `connection` events; their `detail` is connecting, open, lost or closed.
 */
export class ChatClient extends EventTarget {
  #url;
  #options;
  #socket;
  #inbox;
  #line = Promise.resolve();
  #connecting;
  #giveUp = () => {};
  #failures = 0;
  #isClosed = false;

  constructor(url, options = {}) {
    super();
    this.#url = url;
    const times = { firstWaitMs: 1000, openMs: 10_000, answerMs: 30_000, bufferMs: 50 };
    this.#options = { tries: 5, ...times, mayRetry: async () => {}, ...options };
    this.sessionId = options.sessionId ?? null;
  }

  /** Open the connection, which `ask` does by itself; ChatFailed. */
  connect() {
    this.#connecting ??= this.#connected().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  /**
   * Ask, and iterate over what comes; ChatFailed. `signal`, of an AbortController, stops the answer, also at the server:
   * the connection is closed, and opened again by the next question. Each event has a `type`:
   *
   * - `start`: throw away what was shown of the answer. After a lost connection the same message is sent again: the server
   *   does not answer it twice, but begins the answer again
   * - `text` { text }: what the tokens of the last `bufferMs` say
   * - `sources` { sources: [{ title, content, score, metadata: { date, id, kind } }] }
   * - `end` { total_tokens, processing_time_ms }, or `error` { error_code, message, solutions, reason }: the last event
   */
  async *ask(content, { signal } = {}) {
    const before = this.#line;
    let done, stop;
    this.#line = new Promise((resolve) => (done = resolve));
    const stopped = new Promise((resolve) => (stop = resolve));
    signal?.addEventListener("abort", stop);
    await before;
    try {
      yield* this.#answer({ type: "message", message_id: crypto.randomUUID(), content }, signal, stopped);
    } finally {
      signal?.removeEventListener("abort", stop);
      done();
    }
  }

  /** Close the connection, or give up opening it; for good. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#giveUp();
    this.#inbox?.put(null);
    this.#drop();
    this.#tell("closed");
  }

  async *#answer(message, signal, stopped) {
    for (;;) {
      if (signal?.aborted) throw new ChatFailed("stopped");
      await Promise.race([this.connect(), stopped]);
      if (signal?.aborted || this.#isClosed) continue;
      const inbox = this.#inbox;
      inbox.take();
      // Without the session that was told last a new one is begun.
      this.#socket.send(JSON.stringify({ ...message, session_id: this.sessionId ?? "new" }));
      for (;;) {
        const events = await this.#next(inbox, signal, stopped);
        if (events === null) break;
        for (const event of gathered(events, message.message_id)) {
          this.#note(event);
          yield event;
          if (event.type === "end" || event.type === "error") return;
        }
        if (events.some(({ type }) => type === "stream_token")) {
          await Promise.race([pause(this.#options.bufferMs), stopped]);
        }
      }
      this.#failures++;
    }
  }

  /** What has come, one event at least; null when the connection is lost. */
  async #next(inbox, signal, stopped) {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, this.#options.answerMs, "late")));
    const found = await Promise.race([inbox.filled(), late, stopped]);
    clearTimeout(timer);
    if (signal?.aborted || found === "late") {
      // So that the server answers no further.
      this.#drop();
      throw new ChatFailed(found === "late" ? "no-answer" : "stopped");
    }
    const events = inbox.take();
    const end = events.indexOf(null);
    if (end === 0) return null;
    if (end > 0) inbox.put(null);
    this.#failures = 0;
    return end < 0 ? events : events.slice(0, end);
  }

  #note(event) {
    if (event.type === "start") this.sessionId = event.session_id;
    else if (event.type === "error" && event.reason === "unknown_session") this.sessionId = null;
  }

  async #connected() {
    while (!this.#isClosed && !this.#socket) await this.#tryOnce();
    if (this.#isClosed) throw new ChatFailed("closed");
  }

  async #tryOnce() {
    const { tries, firstWaitMs, mayRetry } = this.#options;
    if (this.#failures > tries) {
      this.#failures = 0;
      throw new ChatFailed("no-connection");
    }
    if (this.#failures) await this.#waited(firstWaitMs * 2 ** (this.#failures - 1) * (0.5 + Math.random() / 2));
    if (this.#isClosed) return;
    this.#tell("connecting");
    if (await this.#opened()) {
      this.#tell("open");
      return;
    }
    if (this.#isClosed) return;
    this.#failures++;
    const reason = await mayRetry();
    if (reason) {
      this.#failures = 0;
      throw new ChatFailed(reason);
    }
  }

  /** Whether a connection was opened; false, and none is left behind, when it is too late or given up. */
  #opened() {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url);
      const inbox = new Inbox();
      this.#giveUp = () => {
        clearTimeout(late);
        resolve(false);
        socket.close();
      };
      const late = setTimeout(this.#giveUp, this.#options.openMs);
      socket.addEventListener("open", () => {
        clearTimeout(late);
        this.#giveUp = () => {};
        this.#socket = socket;
        this.#inbox = inbox;
        resolve(true);
      });
      socket.addEventListener("message", ({ data }) => inbox.put(JSON.parse(data)));
      socket.addEventListener("close", () => {
        clearTimeout(late);
        inbox.put(null);
        if (this.#socket === socket) this.#drop();
        resolve(false);
      });
    });
  }

  /** Wait, or until it is given up. */
  #waited(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#giveUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.close(1000);
    if (!this.#isClosed) this.#tell("lost");
  }

  #tell(detail) {
    this.dispatchEvent(new CustomEvent("connection", { detail }));
  }
}

/** What has come and was not taken yet; null stands for the end. */
class Inbox {
  #events = [];
  #wake = () => {};

  put(event) {
    this.#events.push(event);
    this.#wake();
  }

  take() {
    return this.#events.splice(0);
  }

  filled() {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#events.length) resolve();
    });
  }
}

/** Events of one answer as `ask` gives them: tokens that follow each other are one text. */
function* gathered(events, messageId) {
  let text = "";
  for (const { type, message_id, ...rest } of events) {
    if (message_id !== messageId && message_id !== null) continue; // of an answer that was not read to its end
    if (type === "stream_token") {
      text += rest.token;
      continue;
    }
    if (text) yield { type: "text", text };
    text = "";
    yield { type: type.replace("stream_", ""), ...rest };
  }
  if (text) yield { type: "text", text };
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
