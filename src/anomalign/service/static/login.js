/** Signing in: the form works by itself; this only keeps a wrong token on the page. */
import { byId } from "./dom.js";

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const error = byId("login-error");
  error.textContent = "";
  try {
    const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (response.ok) {
      location.assign("/");
      return;
    }
    const answer = await response.json().catch(() => null);
    error.textContent = answer?.error ?? "The service did not accept this token.";
  } catch {
    error.textContent = "The service cannot be reached.";
  }
  byId("token").select();
});
