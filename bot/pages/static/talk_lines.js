// What both sides say, as lines: finals in a log that is read aloud, what may still change below it.

import { says } from "./page.js";

const NEAR_PX = 80;

export class Lines {
  #log;
  #interims;
  #open = new Map();

  constructor(log, interims) {
    this.#log = log;
    this.#interims = interims;
  }

  /** A piece of the transcript; what is not final replaces what was not before it. */
  say({ speaker, text, final }) {
    const isNear = this.#isNear();
    // What the bot answers is said already, whether or not it was ever final.
    if (speaker === "bot") this.#drop("user");
    if (final) {
      this.#drop(speaker);
      if (text) this.#log.append(line(speaker, text, "final"));
    } else {
      let open = this.#open.get(speaker);
      if (!open) {
        open = line(speaker, "", "interim");
        this.#open.set(speaker, open);
        this.#interims.append(open);
      }
      open.querySelector(".text").textContent = text;
    }
    if (isNear) this.#follow();
  }

  /** The bot was stopped: of its last lines only `heard` was heard. */
  heard(heard) {
    this.#drop("bot");
    const last = [];
    let said = "";
    let at = this.#log.lastElementChild;
    while (at?.dataset.speaker === "user") at = at.previousElementSibling; // what it was stopped with
    for (; at?.dataset.speaker === "bot"; at = at.previousElementSibling) {
      const shown = at.querySelector(".text");
      last.unshift(shown);
      said = `${shown.textContent} ${said}`;
      if (heard && said.startsWith(heard)) {
        markUnheard(last, heard.length);
        return;
      }
    }
  }

  /** Nothing more comes: what was not final is gone. */
  close() {
    for (const open of this.#open.values()) open.remove();
    this.#open.clear();
  }

  clear() {
    this.close();
    this.#log.replaceChildren();
  }

  #drop(speaker) {
    this.#open.get(speaker)?.remove();
    this.#open.delete(speaker);
  }

  #isNear() {
    const page = document.documentElement;
    return page.scrollHeight - page.clientHeight - page.scrollTop < NEAR_PX;
  }

  #follow() {
    scrollTo({ top: document.documentElement.scrollHeight });
  }
}

// Of lines that are one text, with a space between two, only so many letters were heard.
function markUnheard(lines, letters) {
  for (const shown of lines) {
    const text = shown.textContent;
    if (letters < text.length) {
      const unheard = document.createElement("s");
      unheard.title = says("unheard");
      unheard.textContent = text.slice(letters);
      shown.replaceChildren(text.slice(0, letters), unheard);
    }
    letters = Math.max(0, letters - text.length - 1);
  }
}

function line(speaker, text, kind) {
  const element = document.createElement("p");
  element.className = `line ${kind}`;
  element.dataset.speaker = speaker;
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = says(speaker);
  const said = document.createElement("span");
  said.className = "text";
  said.textContent = text;
  element.append(who, " ", said);
  return element;
}
