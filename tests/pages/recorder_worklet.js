// Keeps what is played: posts { time, samples } of every block.
class Recorder extends AudioWorkletProcessor {
  process([[input]]) {
    this.port.postMessage({ time: currentTime, samples: input ? input.slice() : new Float32Array(128) });
    return true;
  }
}
registerProcessor("recorder", Recorder);
