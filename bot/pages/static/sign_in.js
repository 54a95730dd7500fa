// Signing in works without this: it only keeps a form from being sent twice, and sends a code once it is whole.
"use strict";

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => {
    // Later: a button that is off already would leave its value out of what is sent.
    setTimeout(() => setBusy(form, true), 0);
  });
}

// The back button shows the page as it was left.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-once]")) setBusy(form, false);
});

const code = document.querySelector("input[data-digits]");
if (code) {
  code.addEventListener("input", () => {
    const digits = code.value.replace(/\D/g, "");
    if (digits.length === Number(code.dataset.digits) && digits !== code.dataset.sent) {
      code.dataset.sent = digits;
      code.form.requestSubmit();
    }
  });
}

function setBusy(form, busy) {
  for (const button of form.querySelectorAll("button")) button.disabled = busy;
}
