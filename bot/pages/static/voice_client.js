// The browser's end of a talk over /ws: the messages of the wire, and the socket, which is opened again when it is lost.
//
// It must not know microphones, loudspeakers or pages.

const RESUME_MS = 30_000;
const FIRST_TRIES = 3;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const CONNECT_MS = 10_000;
const END_MS = 5_000;
const UNSENT_S = 4; // with more than that waiting to be sent the network is gone, whatever the socket says
const HERE_MS = 500; // so often the server is told that somebody is there and what was heard, when no sound comes
const ASLEEP_MS = 6_000; // who has sent nothing for so long has no socket any more, whatever it seems to be
const GONE = "NO_SESSION"; // the code of the error when a talk cannot be resumed; another init may follow
const SIGNED_OUT = "SIGNED_OUT";
const OVER = 1000;
const REFUSED = 1008;
const RESTART = 1012;
const OVERTAKEN = 4001;

/**
 * One talk. Events, each with a `detail`:
 *
 * - `connected` { resumed, isOther } (isOther: another talk was asked for, and is over)
 * - `transcript` { speaker, text, final }, `audio` { sentence, pcm: Uint8Array, rate }, `interrupted` { heard }
 * - `error` { code, message, retry }: the server's own words; the talk may go on
 * - `lost` {}: the socket is being opened again
 * - `over` { reason, message, retry }: reason is ended, gone (it was ended while the socket was lost), elsewhere (another
 *   window has it), lost, signed-out, full, away or error
 *
 * Options: `url`, `sampleRate` (of what is sent), `sessionId` (of a talk to resume), `heardNow` (gives `heard` when no sound
 * is sent), `whyRefused` and `pause` as in page.js. `heard` is what the playback clock says, { sentence, ms }, or undefined.
 */
export class VoiceClient extends EventTarget {
  #options;
  #socket;
  #state = "new";
  #rate = 24_000;
  #failures = 0;
  #lostAt = 0;
  #wasConnected = false;
  #isOther = false;
  #error;
  #timer;
  #here; // the interval in which the server is told that somebody is there
  #sentAt = 0;
  #turn; // the reply that audio came of last
  #stale; // the reply that was stopped, until the server knows

  constructor(options) {
    super();
    this.#options = options;
    this.sessionId = options.sessionId;
  }

  /** Whether audio and text reach the server now. */
  get isConnected() {
    return this.#state === "connected" && this.#socket.readyState === WebSocket.OPEN;
  }

  open() {
    this.#state = "connecting";
    this.#error = undefined;
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    const mine = (handle) => (event) => socket === this.#socket && handle(event);
    socket.addEventListener("open", mine(() => this.#init()));
    socket.addEventListener("message", mine(({ data }) => this.#received(data)));
    socket.addEventListener("close", mine(({ code }) => this.#closed(code)));
    this.#within(CONNECT_MS, () => this.#lose());
  }

  /** Send what the microphone heard: PCM of 16 bits, as it comes. What comes while there is no socket is left out. */
  sendAudio(pcm, heard) {
    if (!this.isConnected) return;
    if (this.#socket.bufferedAmount > UNSENT_S * this.#options.sampleRate * 2 * (4 / 3)) {
      this.#lose();
      return;
    }
    this.#sendSound(base64(new Uint8Array(pcm)), heard);
  }

  /** Send a sentence that was typed; false when there is no socket. */
  sendText(text) {
    if (this.isConnected) this.#send({ type: "text", text });
    return this.isConnected;
  }

  /** Stop the voice; what still comes of the same reply is left out. */
  interrupt(heard) {
    if (!this.isConnected) return;
    this.#send({ type: "interrupt", ...(heard && { heard }) });
    this.#stale = this.#turn;
  }

  /** End the talk. */
  end() {
    if (this.#state === "over") return;
    if (!this.isConnected) {
      this.#finish("ended");
      return;
    }
    this.#send({ type: "end" });
    this.#state = "ending";
    this.#within(END_MS, () => this.#finish("ended"));
  }

  /** Find out at once what happened while the browser had stopped the page: call it when it is seen again. */
  wake() {
    if (this.isConnected) this.#beHere();
    else if (this.#state === "lost") this.open();
  }

  /** Let the socket go without a word, so that the talk can be resumed: the page goes away. */
  leave() {
    if (this.#state !== "over") this.#finish("left");
  }

  #init() {
    const config = { language: "auto", useWhisper: false, sampleRate: this.#options.sampleRate };
    this.#send({ type: "init", config, ...(this.sessionId && { sessionId: this.sessionId }) });
  }

  #received(data) {
    const { type, ...detail } = JSON.parse(data);
    switch (type) {
      case "connected":
        this.#connected(detail);
        break;
      case "audio":
        this.#turn = turn(detail.sentence);
        if (this.#turn === this.#stale) break;
        this.#stale = undefined;
        this.#tell("audio", { sentence: detail.sentence, pcm: bytes(detail.audio), rate: this.#rate });
        break;
      case "interrupted":
        this.#stale = undefined;
        this.#tell(type, detail);
        break;
      case "error":
        this.#refusal(detail);
        break;
      case "transcript":
        this.#tell(type, detail);
        break;
    }
  }

  // Once connected it is about a message; before that the talk cannot be had.
  #refusal(error) {
    this.#error = error;
    if (error.code === SIGNED_OUT) {
      this.#finish("signed-out");
    } else if (this.#state !== "connecting") {
      this.#tell("error", error);
    } else if (error.code === GONE && this.#wasConnected) {
      this.#finish("gone");
    } else if (error.code === GONE && this.sessionId) {
      this.sessionId = undefined;
      this.#isOther = true;
      this.#init();
    } else if (error.retry && this.#wasConnected) {
      this.#lose();
    } else {
      this.#finish("error");
    }
  }

  #connected({ sessionId, resumed, sampleRate }) {
    clearTimeout(this.#timer);
    const isOther = this.#isOther || (Boolean(this.sessionId) && !resumed);
    this.#isOther = false;
    this.sessionId = sessionId;
    this.#rate = sampleRate;
    this.#state = "connected";
    this.#failures = 0;
    this.#wasConnected = true;
    this.#error = undefined;
    this.#stale = undefined;
    clearInterval(this.#here);
    this.#here = setInterval(() => this.isConnected && this.#beHere(), HERE_MS);
    this.#tell("connected", { resumed, isOther });
  }

  #beHere() {
    const quietMs = Date.now() - this.#sentAt;
    if (quietMs > ASLEEP_MS) this.#lose();
    else if (quietMs >= HERE_MS) this.#sendSound("", this.#options.heardNow());
  }

  async #closed(code) {
    clearTimeout(this.#timer);
    if (code === OVER || this.#state === "ending") this.#finish("ended");
    else if (code === OVERTAKEN) this.#finish("elsewhere");
    else if (code === REFUSED) this.#finish("error");
    else if (code === RESTART) this.#again(0);
    else if (this.#state !== "connecting") this.#again();
    else await this.#refused();
  }

  // The socket never came to `connected`: perhaps it never will.
  async #refused() {
    this.#state = "lost";
    const socket = this.#socket;
    const reason = await this.#options.whyRefused();
    if (socket !== this.#socket || this.#state !== "lost") return;
    if (reason === "signed-out" || (reason === "full" && !this.#wasConnected)) this.#finish(reason);
    else this.#again(undefined, reason);
  }

  #lose() {
    this.#socket.close();
    this.#socket = undefined;
    this.#again();
  }

  async #again(waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures), reason = "away") {
    clearTimeout(this.#timer);
    clearInterval(this.#here);
    if (!this.#failures++) {
      this.#lostAt = performance.now();
      this.#tell("lost", {});
    }
    this.#state = "lost";
    const leftMs = this.#lostAt + RESUME_MS - performance.now();
    if (leftMs <= 0 || (!this.#wasConnected && this.#failures >= FIRST_TRIES)) {
      this.#finish(this.#wasConnected ? "lost" : reason);
      return;
    }
    const socket = this.#socket;
    await this.#options.pause(Math.min(leftMs, waitMs * (0.5 + Math.random() / 2)));
    if (socket === this.#socket && this.#state === "lost") this.open();
  }

  #finish(reason) {
    clearTimeout(this.#timer);
    clearInterval(this.#here);
    const socket = this.#socket;
    const error = this.#error;
    this.#socket = undefined;
    this.#state = "over";
    if (reason === "left") socket?.close(4000);
    else socket?.close();
    this.#tell("over", { reason, message: error?.message, retry: error?.retry ?? true });
  }

  #within(ms, late) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(late, ms);
  }

  #sendSound(audio, heard) {
    this.#send({ type: "audio", audio, ...(heard && { heard }) });
  }

  #send(message) {
    this.#sentAt = Date.now();
    this.#socket.send(JSON.stringify(message));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// Sentences of one reply have the same number before the colon; an aside is none.
function turn(sentence) {
  return sentence.startsWith("aside:") ? sentence : sentence.split(":", 1)[0];
}

function base64(data) {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}

function bytes(encoded) {
  return Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
}
