// The microphone and the loudspeaker of one talk, in one AudioContext. It must not know sockets or pages.

const LOWEST_HZ = 8000;
const HIGHEST_HZ = 48000;
const MICROPHONE = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Why there is no microphone; `reason` is insecure, refused, missing, busy or broken. */
export class NoSound extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * Both ends of the sound. Events: `captured` ({ pcm, level, time }), `sounding` (boolean: whether the bot can be heard),
 * `lost` (the microphone went away), `muted` (boolean: whether the system keeps it from us, as for a telephone call),
 * `suspended` (boolean: whether the browser wants a touch before it goes on).
 */
export class Sound extends EventTarget {
  #context;
  #stream;
  #player;
  #reports = [];
  #heard;

  /** Ask for the microphone and open it; call it from a click. NoSound. */
  static async open() {
    const stream = await microphone();
    let context;
    try {
      context = newContext();
      await Promise.all(["capture", "playback"].map((name) => context.audioWorklet.addModule(beside(`${name}.js`))));
      return new Sound(context, stream);
    } catch {
      for (const track of stream.getTracks()) track.stop();
      await context?.close();
      throw new NoSound("broken");
    }
  }

  constructor(context, stream) {
    super();
    this.#context = context;
    this.#stream = stream;
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => this.#tell("captured", data);
    context.createMediaStreamSource(stream).connect(capture);
    this.#player = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#player.port.onmessage = ({ data }) => this.#reported(data);
    this.#player.connect(context.destination);
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => this.#tell("lost"));
    for (const type of ["mute", "unmute"]) track.addEventListener(type, () => this.#tell("muted", track.muted));
    context.addEventListener("statechange", () => {
      if (context.state !== "closed") this.#tell("suspended", this.isSuspended);
    });
  }

  /** Samples a second of what is captured. */
  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** Whether the browser wants a touch before there is any sound. */
  get isSuspended() {
    return this.#context.state !== "running";
  }

  /** What of the bot's voice was heard at `time` of the context: { sentence, ms }, or undefined before its first sound. */
  heardAt(time = this.#context.currentTime) {
    const { outputLatency, baseLatency } = this.#context;
    const left = time - (outputLatency || baseLatency || 0); // what leaves the loudspeaker then was made before
    while (this.#reports.length && this.#reports[0].time <= left) {
      const { sentence, ms } = this.#reports.shift();
      this.#heard = { sentence, ms };
    }
    return this.#heard;
  }

  /** Play PCM (16 bits, little-endian, mono, `rate` samples a second) after what is queued already. */
  play(sentence, pcm, rate) {
    const view = new DataView(pcm.buffer, pcm.byteOffset, pcm.byteLength);
    const samples = new Float32Array(pcm.byteLength >> 1);
    for (let number = 0; number < samples.length; number++) samples[number] = view.getInt16(2 * number, true) / 32768;
    this.#player.port.postMessage({ rate });
    this.#player.port.postMessage({ sentence, samples }, [samples.buffer]);
    this.#sounds(true);
  }

  /** Drop what has not been played. */
  drop() {
    this.#player.port.postMessage({ drop: true });
  }

  /** Whether something is played, or is about to be. */
  isSounding = false;

  /** Wait until nothing is played any more, or for `mostMs`. */
  silent(mostMs) {
    if (!this.isSounding) return Promise.resolve();
    return new Promise((resolve) => {
      setTimeout(resolve, mostMs);
      this.addEventListener("sounding", ({ detail }) => detail || resolve());
    });
  }

  /** Go on after the browser has stopped the sound; call it from a click or a key. */
  async resume() {
    try {
      await this.#context.resume();
    } catch {
      // It is closed, or a telephone call still has the sound: then another touch is asked for.
    }
  }

  /** Let go of the microphone and the loudspeaker. */
  async close() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#sounds(false);
    if (this.#context.state !== "closed") await this.#context.close();
  }

  #reported(report) {
    this.#reports.push(report);
    this.#sounds(!report.idle);
  }

  #sounds(isSounding) {
    if (isSounding === this.isSounding) return;
    this.isSounding = isSounding;
    this.#tell("sounding", isSounding);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

async function microphone() {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    throw new NoSound("insecure");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
  } catch (error) {
    const reasons = {
      NotAllowedError: "refused",
      SecurityError: "refused",
      NotFoundError: "missing",
      OverconstrainedError: "missing",
      NotReadableError: "busy",
      AbortError: "busy",
    };
    throw new NoSound(reasons[error.name] ?? "broken");
  }
}

function newContext() {
  const context = new AudioContext({ latencyHint: "interactive" });
  const sampleRate = Math.min(HIGHEST_HZ, Math.max(LOWEST_HZ, context.sampleRate));
  if (sampleRate === context.sampleRate) return context;
  context.close();
  return new AudioContext({ latencyHint: "interactive", sampleRate });
}

function beside(name) {
  return new URL(name, import.meta.url);
}
