/** Sign-in. The form works without this script; the script shows the error of a wrong token on the same page. */
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
