// The text chat as a hook for React 18 or newer, to be copied into an app together with chat_client.js.
//
//   import { useDiaryChat } from "./use_diary_chat.js";
//
//   function Chat() {
//     const { messages, isAnswering, send, stop } = useDiaryChat("wss://diary.example.com/chat-ws");
//     return (
//       <form
//         onSubmit={(event) => {
//           event.preventDefault();
//           send(event.target.question.value);
//           event.target.reset();
//         }}
//       >
//         {messages.map(({ id, role, text }) => <p key={id} className={role}>{text}</p>)}
//         <input name="question" />
//         <button disabled={!isAnswering} type="button" onClick={stop}>Stop</button>
//       </form>
//     );
//   }
//
// As for chat_client.js, the app must be of the server's own origin, with somebody signed in.

import { useCallback, useEffect, useReducer, useRef, useState } from "react";

import { ChatClient, ChatFailed } from "./chat_client.js";

/**
 * One session of the chat, for as long as the component is there.
 *
 * `options` are ChatClient's, read when the connection's `url` is new. It gives
 *
 * - `connection`: idle until the first question, then connecting, open or lost
 * - `messages`, oldest first: { id, role: user or diary, text, sources, state, error }. An answer's `state` is waiting,
 *   answering, whole, stopped or failed; `error` is null, or { reason, message, solutions }, of which ChatFailed has
 *   the `reason` alone
 * - `isAnswering`: whether an answer is still to come, or to end
 * - `send(content)`: ask, as long as the component is there; the answer grows in `messages`, and the promise is kept
 *   when it is over
 * - `stop()`: stop all answers that are not over
 */
export function useDiaryChat(url, options) {
  const [connection, setConnection] = useState("idle");
  const [messages, change] = useReducer(changed, []);
  const given = useRef(options);
  const talk = useRef(null);

  useEffect(() => {
    given.current = options;
  });

  useEffect(() => {
    const client = new ChatClient(url, given.current);
    const tell = ({ detail }) => setConnection(detail);
    client.addEventListener("connection", tell);
    talk.current = { client, stopping: new AbortController() };
    return () => {
      talk.current = null;
      client.removeEventListener("connection", tell);
      client.close();
      setConnection("idle");
    };
  }, [url]);

  const send = useCallback(async (content) => {
    if (!talk.current) return;
    const { client, stopping } = talk.current;
    const id = crypto.randomUUID();
    // A form's action is a transition: what changes within its first step is not shown before its promise is kept.
    await null;
    change({ id, type: "asked", content });
    try {
      for await (const event of client.ask(content, { signal: stopping.signal })) change({ id, ...event });
    } catch (error) {
      if (!(error instanceof ChatFailed)) throw error;
      change({ id, type: error.reason === "stopped" ? "stopped" : "error", reason: error.reason });
    }
  }, []);

  const stop = useCallback(() => {
    if (!talk.current) return;
    talk.current.stopping.abort();
    talk.current.stopping = new AbortController();
  }, []);

  return { connection, messages, isAnswering: messages.some(isUnfinished), send, stop };
}

function isUnfinished({ state }) {
  return state === "waiting" || state === "answering";
}

/** The messages after what was asked, or what came of an answer. */
function changed(messages, { id, type, ...told }) {
  if (type === "asked") {
    const empty = { sources: [], error: null };
    const question = { ...empty, id: `${id}-question`, role: "user", text: told.content, state: "whole" };
    return [...messages, question, { ...empty, id, role: "diary", text: "", state: "waiting" }];
  }
  return messages.map((message) => (message.id === id ? { ...message, ...answered(message, type, told) } : message));
}

/** What an event changes of its answer. */
function answered({ text }, type, told) {
  switch (type) {
    case "start":
      return { text: "", sources: [], state: "answering" };
    case "text":
      return { text: text + told.text };
    case "sources":
      return { sources: told.sources };
    case "end":
      return { state: "whole" };
    case "stopped":
      return { state: "stopped" };
    case "error":
      return { state: "failed", error: { reason: told.reason, message: told.message, solutions: told.solutions } };
  }
}
