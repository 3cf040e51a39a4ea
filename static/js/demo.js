// A demonstration's sign-ins: fill the form and send it.

for (const button of document.querySelectorAll("[data-demo-email]")) {
  button.addEventListener("click", () => {
    const form = document.querySelector("form");
    form.elements.username.value = button.dataset.demoEmail;
    form.elements.password.value = button.dataset.demoPassword;
    form.requestSubmit();
  });
}
