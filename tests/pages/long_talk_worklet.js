// Hears both ends of a talk: input 0 is the microphone, 1 what is played. Keeps no sound.
//
// Posts { kind: "mic" or "voice", on, off, holes } for every stretch of sound once it is over, in s of the context, and
// { kind: "voice on", on } when one begins. `holes` are runs of exact zeros in it, `holesMs` all of them: sound that the context did not get.

const SIDES = [
  { kind: "mic", loud: 10 ** (-40 / 20), hangS: 0.7 },
  { kind: "voice", loud: 10 ** (-55 / 20), hangS: 0.25 },
];

class Probe extends AudioWorkletProcessor {
  sides = SIDES.map(() => ({ on: undefined, off: 0, zeros: 0, holes: 0, holesMs: 0 }));

  process(inputs) {
    inputs.forEach(([samples], number) => samples && this.hear(samples, this.sides[number], SIDES[number]));
    return true;
  }

  hear(samples, side, { kind, loud, hangS }) {
    let energy = 0;
    let isZero = true;
    for (const sample of samples) {
      energy += sample * sample;
      isZero &&= sample === 0;
    }
    if (isZero) side.zeros++;
    if (energy > loud * loud * samples.length) {
      if (side.on === undefined) {
        side.on = currentTime;
        if (kind === "voice") this.port.postMessage({ kind: "voice on", on: side.on });
      } else if (side.zeros) {
        side.holes++;
        side.holesMs += (side.zeros * samples.length * 1000) / sampleRate;
      }
      side.off = currentTime + samples.length / sampleRate;
      side.zeros = 0;
    } else if (side.on !== undefined && currentTime - side.off > hangS) {
      this.port.postMessage({ kind, ...side });
      Object.assign(side, { on: undefined, zeros: 0, holes: 0, holesMs: 0 });
    }
  }
}
registerProcessor("probe", Probe);
