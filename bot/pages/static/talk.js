// The page of a talk: one button, what both sides say, the level of the microphone, and what goes wrong.

import { address, pauseOrOnline, says, socketAddress, whyRefused } from "./page.js";
import { NoSound, Sound } from "./sound.js";
import { Lines } from "./talk_lines.js";
import { VoiceClient } from "./voice_client.js";

const KEPT = "ilgi-talk"; // in sessionStorage: { sessionId, at } of a talk that the page was left in
const RESUME_MS = 30_000;
const DRAIN_MS = 15_000;
const LEVEL_FLOOR_DB = -55;

const the = (id) => document.getElementById(id);
const talk = document.querySelector(".talk");
const lines = new Lines(the("lines"), the("interims"));

let sound;
let client;
let wakeLock;
const idle = the("state").textContent;
let sessionId = keptSession();
let wasConnected = false;
const held = new Set(); // why nothing is heard of the person: suspended, muted
let begun = 0; // counts starts, so that what belongs to one that was given up does nothing

the("start").addEventListener("click", () => (isBusy() ? hangUp() : start()));
the("stop").addEventListener("click", interrupt);
the("type").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = the("text").value.trim();
  if (text && client?.sendText(text)) the("text").value = "";
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  interrupt();
});
for (const touch of ["pointerdown", "click", "keydown"]) {
  addEventListener(touch, () => held.has("suspended") && sound?.resume());
}
addEventListener("visibilitychange", () => document.visibilityState === "visible" && comeBack());
addEventListener("pagehide", leave);
if (sessionId) the("state").textContent = says("left");

function isBusy() {
  return ["asking", "connecting", "talking", "lost", "ending"].includes(talk.dataset.state);
}

async function start() {
  const mine = ++begun;
  wasConnected = false;
  the("trouble").hidden = true;
  the("after").hidden = true;
  show("asking", "asking", "cancel");
  try {
    const opened = await Sound.open();
    if (mine !== begun) {
      await opened.close();
      return;
    }
    listen(opened);
  } catch (error) {
    if (!(error instanceof NoSound)) throw error;
    if (mine === begun) fail(error.reason);
  }
}

function listen(opened) {
  sound = opened;
  client = new VoiceClient({
    url: socketAddress("/ws"),
    sampleRate: sound.sampleRate,
    sessionId,
    heardNow: () => opened.heardAt(),
    whyRefused,
    pause: pauseOrOnline,
  });
  sound.addEventListener("captured", ({ detail }) => {
    if (!held.has("muted")) client?.sendAudio(detail.pcm, sound.heardAt(detail.time)); // that silence is not the person's
    showLevel(client?.isConnected ? detail.level : 0);
  });
  sound.addEventListener("sounding", showTurn);
  sound.addEventListener("lost", () => fail("unplugged"));
  for (const why of ["suspended", "muted"]) sound.addEventListener(why, ({ detail }) => hold(why, detail));
  client.addEventListener("connected", ({ detail }) => connected(detail));
  client.addEventListener("transcript", ({ detail }) => transcribed(detail));
  client.addEventListener("audio", ({ detail }) => sound.play(detail.sentence, detail.pcm, detail.rate));
  client.addEventListener("interrupted", ({ detail }) => {
    sound.drop();
    lines.heard(detail.heard);
  });
  client.addEventListener("error", ({ detail }) => showTrouble(detail.message, ""));
  client.addEventListener("lost", () => show("lost", sessionId ? "again-connecting" : "connecting", "cancel"));
  client.addEventListener("over", ({ detail }) => over(detail));
  show("connecting", "connecting", "cancel");
  hold("suspended", sound.isSuspended);
  client.open();
  keepAwake();
}

function connected({ resumed, isOther }) {
  sessionId = client.sessionId;
  wasConnected = true;
  if (!resumed) lines.clear();
  the("trouble").hidden = true;
  the("lines").hidden = false;
  the("type").hidden = false;
  show("talking", resumed ? "resumed" : isOther ? "other" : "talking", "hang-up");
  showTurn();
}

function transcribed(piece) {
  lines.say(piece);
  if (piece.final && piece.speaker === "user") the("trouble").hidden = true; // it has gone on
}

function interrupt() {
  if (!sound?.isSounding) return;
  client?.interrupt(sound.heardAt()); // none while the goodbye is played out
  sound.drop();
}

function hangUp() {
  begun++;
  if (!client) {
    show("idle", "idle", "start");
    return;
  }
  sound.drop();
  show("ending", "ending", "hang-up");
  client.end();
}

async function over({ reason, message, retry }) {
  client = undefined;
  if (reason === "left") return;
  if (reason === "gone" || reason === "elsewhere") {
    if (reason === "gone") sessionId = undefined;
    rest(reason);
    return;
  }
  if (reason !== "ended") {
    if (reason !== "signed-out") sessionId = undefined;
    fail(reason, message, retry);
    return;
  }
  const mine = begun;
  sessionId = undefined;
  show("ending", "ending", "hang-up");
  await sound?.silent(DRAIN_MS); // the goodbye is heard to its end
  if (mine !== begun) return;
  letGo();
  lines.close();
  if (wasConnected) show("ended", "ended", "again");
  else show("idle", "idle", "start");
  the("after").hidden = !wasConnected;
}

// The talk is no longer this page's, and nothing is wrong.
function rest(reason) {
  begun++;
  letGo();
  lines.close();
  the("trouble").hidden = true;
  the("after").hidden = reason !== "gone";
  show("ended", reason, reason === "gone" ? "again" : "take-back");
}

function fail(reason, message, retry = true) {
  begun++;
  letGo();
  lines.close();
  showTrouble(message ?? says(reason), reason === "error" && message ? "" : says(`${reason}-help`));
  if (reason === "signed-out") {
    const link = document.createElement("a");
    link.className = "button";
    link.href = address("/sign-in");
    link.textContent = says("sign-in");
    the("trouble-help").append(" ", link);
  }
  show("failed", "failed", "retry");
  scrollTo({ top: 0 });
  the("start").hidden = !retry || reason === "signed-out";
}

function letGo() {
  const [oldClient, oldSound] = [client, sound];
  client = sound = undefined;
  oldClient?.leave();
  oldSound?.close();
  wakeLock?.release();
  wakeLock = undefined;
  showLevel(0);
  the("stop").hidden = true;
  held.clear();
}

function leave() {
  if (client && sessionId) sessionStorage.setItem(KEPT, JSON.stringify({ sessionId, at: Date.now() }));
  begun++;
  const wasOpen = isBusy();
  letGo();
  if (wasOpen) show("idle", sessionId ? "left" : "idle", "start");
}

function keptSession() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  sessionStorage.removeItem(KEPT);
  return Date.now() - kept.at < RESUME_MS ? kept.sessionId : undefined;
}

function comeBack() {
  sound?.resume();
  client?.wake();
  keepAwake();
}

async function keepAwake() {
  if (!client || !navigator.wakeLock) return;
  try {
    wakeLock = await navigator.wakeLock.request("screen");
  } catch {
    // The battery is low, or the page is not seen: then the screen goes dark as always.
  }
}

function show(state, saying, button) {
  talk.dataset.state = state;
  talk.classList.toggle("busy", isBusy());
  talk.dataset.saying = saying;
  showState();
  the("start-text").textContent = says(button);
  the("start").hidden = false;
  the("start").disabled = state === "ending";
  const isOpen = ["talking", "lost"].includes(state);
  the("type").hidden = !isOpen;
  if (state !== "talking") showTurn();
}

function showTurn() {
  const speaks = Boolean(sound?.isSounding);
  const isTalking = talk.dataset.state === "talking";
  talk.dataset.turn = isTalking ? (speaks ? "bot" : "user") : "";
  the("turn").textContent = isTalking ? says(speaks ? "speaks" : "listens") : "";
  the("stop").hidden = !(isTalking && speaks);
}

function showLevel(level) {
  const part = level > 0 ? 1 - Math.max(LEVEL_FLOOR_DB, Math.min(0, 20 * Math.log10(level))) / LEVEL_FLOOR_DB : 0;
  the("level").style.transform = `scaleX(${part.toFixed(3)})`;
}

function hold(why, isHeld) {
  if (isHeld) held.add(why);
  else held.delete(why);
  showState();
}

function showState() {
  const why = ["suspended", "muted"].find((each) => held.has(each));
  the("state").textContent = says(why ?? talk.dataset.saying) ?? idle;
}

function showTrouble(text, help) {
  the("trouble-text").textContent = text;
  the("trouble-help").textContent = help ?? "";
  the("trouble").hidden = false;
}
