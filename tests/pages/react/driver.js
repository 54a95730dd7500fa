// Mounts the hook in React's strict mode and does what it reads, a line each: ["send", text], ["act", text], which sends
// as the action of a form does, ["stop"], ["unmount"].
// It writes what the hook gives, whenever that changes, a line of JSON each.

import { createInterface } from "node:readline";

import { createElement, startTransition, StrictMode, useEffect } from "react";
import { create } from "react-test-renderer";

import { useDiaryChat } from "./use_diary_chat.js";

const [address, options] = JSON.parse(process.argv[2]);

// A browser would send its cookie.
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url, { headers: { "X-Test-Person": "me" } });
  }
};

let chat;

function Chat() {
  chat = useDiaryChat(`ws://${address}/chat-ws`, options);
  const { connection, messages, isAnswering } = chat;
  useEffect(() => console.log(JSON.stringify({ connection, messages, isAnswering })));
  return null;
}

const root = create(createElement(StrictMode, null, createElement(Chat)));

for await (const line of createInterface({ input: process.stdin })) {
  const [command, text] = JSON.parse(line);
  if (command === "send") chat.send(text);
  else if (command === "act") startTransition(() => chat.send(text));
  else if (command === "stop") chat.stop();
  else root.unmount();
}
