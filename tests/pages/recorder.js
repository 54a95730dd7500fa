// In the page, before its scripts: keeps what a test looks at, and changes nothing. The recorder is added by the test.
window.contexts = [];
window.sounding = [];
window.sentAt = [];
window.AudioContext = class extends AudioContext {
  constructor(...options) {
    super(...options);
    window.contexts.push(this);
  }
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to === this.context.destination) window.sounding.push(this);
  return connect.call(this, to, ...more);
};
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  const { type, heard } = JSON.parse(data);
  const context = window.contexts.at(-1);
  if (type === "audio" && heard) {
    window.sentAt.push({ ...heard, at: context.currentTime, latency: context.outputLatency || context.baseLatency });
  }
  return send.call(this, data);
};
window.awake = [];
const request = WakeLock.prototype.request;
WakeLock.prototype.request = async function (kind) {
  const lock = await request.call(this, kind);
  window.awake.push(lock);
  return lock;
};
window.record = async () => {
  const context = window.contexts.at(-1);
  await context.audioWorklet.addModule("/recorder_worklet.js");
  window.recorded = [];
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => window.recorded.push(data);
  window.sounding.at(-1).connect(node);
};
window.taken = () => {
  const rate = window.contexts.at(-1).sampleRate;
  const samples = window.recorded.flatMap(({ samples }) => [...samples]);
  return { rate, first: window.recorded[0].time, samples };
};
