// The one script of the lessons. It does what a script that got into the page
// would do first: read the cookies. It leaves one of its own, to show that
// reading works.
const button = document.getElementById("read");
const output = document.getElementById("cookies");
const verdict = document.getElementById("verdict");

button.hidden = false;
button.addEventListener("click", () => {
  document.cookie = "readable=yes; path=/bench; secure; samesite=strict; max-age=60";
  const cookies = document.cookie;
  const leaked = cookies.includes(button.dataset.cookie);
  verdict.textContent = leaked ? "✗ The attack succeeded" : "✓ The attack failed";
  verdict.className = leaked ? "verdict succeeded danger" : "verdict failed success";
  verdict.hidden = false;
  output.textContent = `document.cookie is "${cookies}". The session's cookie is ${leaked ? "in it!" : "not in it."}`;
});
