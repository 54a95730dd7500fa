// Runs in the audio thread: what the microphone hears, as mono PCM of 16 bits at the context's rate.
//
// Posts { pcm: ArrayBuffer, level, time } about every 30 ms: `level` is the root mean square, from 0 to 1, `time` is that
// of the context at its end. It must not know where that goes.

const MESSAGE_S = 0.03;
const QUANTUM = 128;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.length = Math.max(1, Math.round((sampleRate * MESSAGE_S) / QUANTUM)) * QUANTUM;
    this.begin();
  }

  begin() {
    this.samples = new Int16Array(this.length);
    this.count = 0;
    this.energy = 0;
  }

  process([channels]) {
    const frames = channels.length ? channels[0].length : 0;
    for (let frame = 0; frame < frames; frame++) {
      let sum = 0;
      for (const channel of channels) sum += channel[frame];
      const sample = Math.min(1, Math.max(-1, sum / channels.length));
      this.energy += sample * sample;
      this.samples[this.count++] = Math.round(sample * 32767);
      if (this.count === this.length) this.post(currentTime + (frame + 1) / sampleRate);
    }
    return true;
  }

  post(time) {
    const pcm = this.samples.buffer;
    this.port.postMessage({ pcm, level: Math.sqrt(this.energy / this.length), time }, [pcm]);
    this.begin();
  }
}

registerProcessor("capture", Capture);
