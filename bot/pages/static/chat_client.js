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

/** Why there is no answer: `reason` is no-connection, no-answer, closed, or what the option `mayRetry` gave. */
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
 * is cut at random to no less than its half. `answerMs` is how long the next event may take, `bufferMs` how long
 * tokens are collected. `mayRetry` is awaited after a connection that failed: what it gives, if anything, ends the tries.
 *
 * It dispatches `connection` events; their `detail` is connecting, open or lost.
 */
export class ChatClient extends EventTarget {
  #url;
  #options;
  #socket;
  #inbox;
  #line = Promise.resolve();
  #failures = 0;
  #isClosed = false;

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { tries: 5, firstWaitMs: 1000, answerMs: 30_000, bufferMs: 50, mayRetry: async () => {}, ...options };
    this.sessionId = options.sessionId ?? null;
  }

  /** Open the connection, which `ask` does by itself; ChatFailed. */
  async connect() {
    while (!this.#isClosed && !this.#socket) await this.#tryOnce();
    if (this.#isClosed) throw new ChatFailed("closed");
  }

  /**
   * Ask, and iterate over what comes; ChatFailed. Each event has a `type`:
   *
   * - `start`: throw away what was shown of the answer. After a lost connection the same message is sent again: the server
   *   does not answer it twice, but begins the answer again
   * - `text` { text }: what the tokens of the last `bufferMs` say
   * - `sources` { sources: [{ title, content, score, metadata: { date, id, kind } }] }
   * - `end` { total_tokens, processing_time_ms }, or `error` { error_code, message, solutions }: the last event
   */
  async *ask(content) {
    const before = this.#line;
    let done;
    this.#line = new Promise((resolve) => (done = resolve));
    await before;
    try {
      yield* this.#answer({ type: "message", message_id: crypto.randomUUID(), content });
    } finally {
      done();
    }
  }

  /** Close the connection. */
  close() {
    this.#isClosed = true;
    this.#socket?.close(1000);
    this.#inbox?.put(null);
  }

  async *#answer(message) {
    for (;;) {
      await this.connect();
      const inbox = this.#inbox;
      inbox.take();
      // Without the session that was told last a new one is begun.
      this.#socket.send(JSON.stringify({ ...message, session_id: this.sessionId ?? "new" }));
      for (;;) {
        const events = await this.#next(inbox);
        if (events === null) break;
        for (const event of gathered(events, message.message_id)) {
          this.#note(event);
          yield event;
          if (event.type === "end" || event.type === "error") return;
        }
        if (events.some(({ type }) => type === "stream_token")) await pause(this.#options.bufferMs);
      }
      this.#failed();
    }
  }

  /** What has come, one event at least; null when the connection is lost. */
  async #next(inbox) {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, this.#options.answerMs, "late")));
    const found = await Promise.race([inbox.filled(), late]);
    clearTimeout(timer);
    if (found === "late") {
      // What may still come is not to be taken for another answer.
      this.#drop();
      throw new ChatFailed("no-answer");
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
    else if (event.error_code === "WS-002-VALIDATION_ERROR") this.sessionId = null;
  }

  async #tryOnce() {
    const { tries, firstWaitMs, mayRetry } = this.#options;
    if (this.#failures > tries) {
      this.#failures = 0;
      throw new ChatFailed("no-connection");
    }
    if (this.#failures) await pause(firstWaitMs * 2 ** (this.#failures - 1) * (0.5 + Math.random() / 2));
    if (this.#isClosed) return;
    this.#tell("connecting");
    if (await this.#opened()) {
      this.#tell("open");
      return;
    }
    this.#failed();
    const reason = await mayRetry();
    if (reason) {
      this.#failures = 0;
      throw new ChatFailed(reason);
    }
  }

  #opened() {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url);
      const inbox = new Inbox();
      socket.addEventListener("open", () => {
        this.#socket = socket;
        this.#inbox = inbox;
        resolve(true);
      });
      socket.addEventListener("message", ({ data }) => inbox.put(JSON.parse(data)));
      socket.addEventListener("close", () => {
        inbox.put(null);
        if (this.#socket === socket) this.#drop();
        resolve(false);
      });
    });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket.close();
    if (!this.#isClosed) this.#tell("lost");
  }

  #failed() {
    this.#failures++;
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
