// In the page, before its scripts: notes what is heard and played in a talk of any length, and keeps no sound.
//
// `probeSource` is long_talk_worklet.js. `notes.take()` gives what came since it was called last, so that nothing grows
// here. Times are in s of the audio context, and in ms of the page's clock where they are called `at`.
(() => {
  const PROBE = URL.createObjectURL(new Blob([window.probeSource], { type: "text/javascript" }));
  const REPORT_FRAMES = 512; // of playback.js: so long after the voice goes on it is told
  let context;
  let probe;
  let track;
  let events = [];
  let queue = []; // { sentence, ms } of what came and is not known to be played
  let last; // sentence that was played
  let idle; // { time, sentence } of the report with which the player stopped
  let most = { queuedMs: 0, bufferedBytes: 0 };
  const sent = { bytes: 0, first: undefined, last: undefined };

  function note(kind, detail) {
    events.push({ kind, at: performance.now(), ...detail });
  }

  function queuedMs() {
    return queue.reduce((sum, { ms }) => sum + ms, 0);
  }

  function came({ type, sentence, audio, ...rest }) {
    if (type === "transcript") note("said", rest);
    if (type === "error") note("error", rest);
    if (type === "interrupted") {
      note("interrupted", {});
      queue = [];
      idle = undefined;
    }
    if (type !== "audio") return;
    const ms = (audio.length * 3) / 4 / 48 - (audio.endsWith("==") ? 2 : audio.endsWith("=") ? 1 : 0) / 48;
    const newest = queue.at(-1);
    if (newest?.sentence === sentence) newest.ms += ms;
    else queue.push({ sentence, ms, of: 0 });
    most.queuedMs = Math.max(most.queuedMs, queuedMs());
  }

  function reported({ time, sentence, ms, idle: stops }) {
    if (queue.some((waits) => waits.sentence === sentence)) {
      while (queue[0].sentence !== sentence) queue.shift();
      queue[0].ms -= ms - queue[0].of;
      queue[0].of = ms;
    }
    // An answer right behind an aside is no beginning of sound.
    if (last?.startsWith("aside") && last !== sentence) note("voice on", { on: time - ms / 1000, sentence });
    last = sentence;
    if (!stops && idle) {
      const gap = { ms: (time - idle.time) * 1000 - REPORT_FRAMES / (context.sampleRate / 1000) };
      if (idle.sentence === sentence) note("underrun", gap);
      else if (idle.sentence.split(":")[0] === sentence.split(":")[0]) note("late sentence", gap);
    }
    idle = stops ? { time, sentence } : undefined;
  }

  window.AudioContext = class extends AudioContext {
    constructor(...options) {
      super(...options);
      context = this;
    }

    createMediaStreamSource(stream) {
      [track] = stream.getAudioTracks();
      return super.createMediaStreamSource(stream);
    }
  };

  const addModule = AudioWorklet.prototype.addModule;
  AudioWorklet.prototype.addModule = async function (url) {
    await addModule.call(this, PROBE);
    return addModule.call(this, url);
  };

  const PageNode = AudioWorkletNode;
  window.AudioWorkletNode = class extends PageNode {
    constructor(of, name, options) {
      super(of, name, options);
      if (name === "playback") this.port.addEventListener("message", ({ data }) => reported(data));
    }
  };

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    const input = this instanceof MediaStreamAudioSourceNode ? 0 : to === this.context.destination ? 1 : undefined;
    if (input !== undefined) {
      if (!probe) {
        probe = new PageNode(context, "probe", { numberOfInputs: 2, numberOfOutputs: 0 });
        probe.port.onmessage = ({ data: { kind, ...detail } }) => note(kind, { ...detail, sentence: queue[0]?.sentence });
      }
      connect.call(this, probe, 0, input);
    }
    return connect.call(this, to, ...more);
  };

  window.WebSocket = class extends WebSocket {
    constructor(...options) {
      super(...options);
      this.addEventListener("message", ({ data }) => came(JSON.parse(data)));
      this.addEventListener("close", ({ code }) => note("closed", { code }));
    }

    send(data) {
      const { type, audio } = JSON.parse(data);
      if (type === "audio") {
        sent.first ??= performance.now();
        sent.last = performance.now();
        sent.bytes += (audio.length * 3) / 4 - (audio.endsWith("==") ? 2 : audio.endsWith("=") ? 1 : 0);
        most.bufferedBytes = Math.max(most.bufferedBytes, this.bufferedAmount);
      }
      return super.send(data);
    }
  };

  window.notes = {
    take() {
      const stats = track?.stats?.toJSON?.();
      const played = (context?.playbackStats ?? context?.playoutStats)?.toJSON?.();
      const taken = {
        events,
        most,
        stats,
        played,
        at: performance.now(),
        time: context?.currentTime,
        sentMs: context && (sent.bytes / 2 / context.sampleRate) * 1000,
        sentInMs: sent.last - sent.first,
        queuedMs: queuedMs(),
        state: document.querySelector(".talk").dataset.state,
        lines: document.querySelectorAll(".line").length,
      };
      events = [];
      most = { queuedMs: 0, bufferedBytes: 0 };
      return taken;
    },
  };
})();
