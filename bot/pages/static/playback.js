// Runs in the audio thread: plays a queue of sentences without gaps, and tells how far it is.
//
// Takes { rate }, { sentence, samples: Float32Array at that rate } and { drop: true }. Posts { time, sentence, ms, idle }
// about every 10 ms while it plays, and once when it stops: at `time` of the context, `ms` of `sentence` had been played.
// It must not know where the sound is from.

const HALF_LENGTH = 16; // zero crossings of the filter on each side
const CUTOFF = 0.95; // of half the lower rate
const BEFORE_S = 0.04; // after a gap so much is waited for, so that a late message is not a gap of its own
const FADE_S = 0.005;
const REPORT_FRAMES = 512;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.rate) this.convert(data.rate);
      else if (data.drop) this.drop();
      else this.queue(data.sentence, data.samples);
    };
    this.data = new Float32Array(0);
    this.base = 0; // counts samples since the start: data[0] is number `base`, `position` is played next
    this.position = 0;
    this.phase = 0;
    this.runs = []; // { sentence, begin, end }, in the order of playing; the first is the one played last
    this.playing = false;
    this.waited = 0;
    this.sinceReport = 0;
    this.convert(sampleRate);
  }

  get end() {
    return this.base + this.data.length;
  }

  // A Kaiser-windowed sinc, cut into as many phases as an input sample has output samples.
  convert(rate) {
    if (rate === this.rate) return;
    this.drop();
    this.rate = rate;
    const common = gcd(rate, sampleRate);
    this.up = sampleRate / common;
    this.down = rate / common;
    this.half = Math.ceil(HALF_LENGTH * Math.max(1, rate / sampleRate));
    this.taps = 2 * this.half;
    this.bank = new Float32Array(this.up * this.taps);
    const pass = CUTOFF * Math.min(1, sampleRate / rate);
    for (let phase = 0; phase < this.up; phase++) {
      let sum = 0;
      const row = this.bank.subarray(phase * this.taps, (phase + 1) * this.taps);
      for (let tap = 0; tap < this.taps; tap++) {
        const at = tap - this.half + 1 - phase / this.up;
        const inside = 1 - (at / this.half) ** 2;
        row[tap] = inside > 0 ? sinc(at * pass) * bessel(7 * Math.sqrt(inside)) : 0;
        sum += row[tap];
      }
      for (let tap = 0; tap < this.taps; tap++) row[tap] /= sum;
    }
  }

  queue(sentence, samples) {
    const from = Math.min(this.data.length, Math.max(0, this.position - this.half - this.base));
    const kept = this.data.subarray(from);
    const data = new Float32Array(kept.length + samples.length);
    data.set(kept);
    data.set(samples, kept.length);
    const begin = this.end;
    this.base += from;
    this.data = data;
    const last = this.runs.at(-1);
    if (last?.sentence === sentence) last.end = this.end;
    else this.runs.push({ sentence, begin, end: this.end });
    while (this.runs.length > 1 && this.runs[1].begin < this.position) this.runs.shift();
  }

  // What is left fades away at once, so that it does not click.
  drop() {
    const left = Math.min(this.end - this.position, this.playing ? Math.round(this.rate * FADE_S) : 0);
    this.data = this.data.slice(0, this.position + left - this.base);
    for (let number = 0; number < left; number++) this.data[this.data.length - 1 - number] *= number / left;
    this.runs = this.runs.filter((run, index) => index === 0 || run.begin < this.end);
    for (const run of this.runs) run.end = Math.min(run.end, this.end);
    if (!this.playing && this.runs.length) this.report(0);
  }

  process(_inputs, [[output]]) {
    if (!this.playing && this.end > this.position) {
      this.waited += output.length;
      const before = BEFORE_S * sampleRate;
      this.playing = this.waited >= before || (this.end - this.position) * (this.up / this.down) >= before;
    }
    if (!this.playing) return true;
    this.waited = 0;
    for (let frame = 0; frame < output.length; frame++) {
      if (this.position >= this.end) {
        this.playing = false;
        this.position = this.end;
        this.phase = 0;
        break;
      }
      output[frame] = this.sample();
      this.phase += this.down;
      while (this.phase >= this.up) {
        this.phase -= this.up;
        this.position++;
      }
    }
    this.sinceReport += output.length;
    if (!this.playing || this.sinceReport >= REPORT_FRAMES) this.report(output.length);
    return true;
  }

  sample() {
    const first = this.position - this.half + 1 - this.base;
    const row = this.phase * this.taps;
    const to = Math.min(this.taps, this.data.length - first);
    let sum = 0;
    for (let tap = Math.max(0, -first); tap < to; tap++) sum += this.data[first + tap] * this.bank[row + tap];
    return sum;
  }

  report(frames) {
    this.sinceReport = 0;
    const position = Math.min(this.position, this.end);
    while (this.runs.length > 1 && this.runs[1].begin < position) this.runs.shift();
    const { sentence, begin, end } = this.runs[0];
    const ms = Math.ceil(((Math.min(position, end) - begin) * 1000) / this.rate);
    this.port.postMessage({ time: currentTime + frames / sampleRate, sentence, ms, idle: !this.playing });
  }
}

function gcd(one, other) {
  return other ? gcd(other, one % other) : one;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// The modified Bessel function of the first kind, of order 0.
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-9 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

registerProcessor("playback", Playback);
