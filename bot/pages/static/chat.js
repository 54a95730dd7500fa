// The page of the text chat: questions, answers as they come, what they are taken from, and what goes wrong.

import { ChatClient, ChatFailed } from "./chat_client.js";
import { address, says, socketAddress, whyRefused } from "./page.js";

const NEAR_PX = 120;
const SIGNED_OUT = ["signed-out", "signed_out"]; // as the page says it, and as the server does

const the = (id) => document.getElementById(id);
const messages = the("messages");
const question = the("question");
const page = document.documentElement;

const chat = new ChatClient(socketAddress("/chat-ws"), {
  mayRetry: async () => ((await whyRefused()) === "signed-out" ? "signed-out" : undefined),
});
let unanswered = 0;

chat.addEventListener("connection", ({ detail }) => unanswered && show(detail === "open" ? "answering" : "reconnecting"));

the("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = question.value.trim();
  if (!content) return;
  question.value = "";
  question.focus();
  ask(content);
});

question.addEventListener("keydown", (event) => {
  // While a syllable is being composed Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  the("ask").requestSubmit();
});

async function ask(content) {
  the("hello").hidden = true;
  const asked = addMessage("user");
  asked.write(content);
  const answer = addMessage("bot");
  scrollTo({ top: page.scrollHeight });
  unanswered++;
  messages.setAttribute("aria-busy", "true"); // read aloud when it is whole, not in pieces
  show("answering");
  answer.wait(true);
  try {
    for await (const event of chat.ask(content)) following(() => answer.take(event, content));
  } catch (error) {
    if (!(error instanceof ChatFailed)) throw error;
    following(() => answer.failed(says(error.reason), [says(`${error.reason}-help`)], content, error.reason));
  } finally {
    answer.wait(false);
    if (!--unanswered) {
      messages.removeAttribute("aria-busy");
      show(undefined);
    }
  }
}

function show(key) {
  const text = key ? says(key) : "";
  if (the("state").textContent !== text) the("state").textContent = text;
}

/** Do something to the page; who was at its end stays there. */
function following(change) {
  const isNear = page.scrollHeight - page.clientHeight - page.scrollTop < NEAR_PX;
  change();
  if (isNear) scrollTo({ top: page.scrollHeight });
}

function addMessage(speaker) {
  const message = new Message(speaker);
  messages.append(message.element);
  return message;
}

class Message {
  constructor(speaker) {
    this.element = made("article", "message");
    this.element.dataset.speaker = speaker;
    this.text = made("div", "text");
    this.element.append(made("h2", "", says(speaker)), this.text);
  }

  take(event, content) {
    switch (event.type) {
      case "start":
        this.text.replaceChildren();
        break;
      case "text":
        this.write(event.text);
        break;
      case "sources":
        this.showSources(event.sources);
        break;
      case "error":
        this.failed(event.message, event.solutions, content, event.reason);
        break;
    }
  }

  /** Write on: a paragraph for each line, so that only the last one is laid out again. */
  write(text) {
    const [first, ...others] = text.split("\n");
    const last = this.text.lastElementChild;
    if (last) last.firstChild.appendData(first);
    else this.text.append(paragraph(first));
    for (const line of others) {
      const end = this.text.lastElementChild;
      if (end.firstChild.data) this.text.append(paragraph(line));
      else end.firstChild.appendData(line);
    }
  }

  wait(isWaiting) {
    this.text.classList.toggle("waiting", isWaiting);
    this.text.hidden = !isWaiting && !this.text.hasChildNodes();
  }

  showSources(sources) {
    if (!sources.length) return;
    const list = made("ul", "sources");
    for (const { title, content, metadata } of sources) {
      const date = made("time", "", day(metadata.date));
      date.dateTime = metadata.date;
      const summary = made("summary", "");
      summary.append(date, made("span", "", title));
      const details = made("details", "");
      details.append(summary, made("p", "content", content));
      const item = made("li", "");
      item.append(details);
      list.append(item);
    }
    this.element.append(made("h3", "", says("sources")), list);
  }

  failed(message, solutions, content, reason) {
    const trouble = made("div", "error");
    trouble.setAttribute("role", "alert");
    const list = made("ul", "");
    list.append(...solutions.map((solution) => made("li", "", solution)));
    const way = SIGNED_OUT.includes(reason) ? made("a", "button", says("sign-in")) : made("button", "", says("retry"));
    if (way.localName === "a") way.href = address("/sign-in");
    else {
      way.type = "button";
      way.addEventListener("click", () => {
        way.disabled = true;
        question.focus();
        ask(content);
      });
    }
    trouble.append(made("p", "", message), list, way);
    this.element.append(trouble);
  }
}

function paragraph(text) {
  const element = document.createElement("p");
  element.append(document.createTextNode(text));
  return element;
}

function made(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function day(date) {
  const [year, month, number] = date.split("-").map(Number);
  const options = { year: "numeric", month: "long", day: "numeric", weekday: "long" };
  return new Intl.DateTimeFormat("ko-KR", options).format(new Date(year, month - 1, number));
}
