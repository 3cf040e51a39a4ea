// A choice that changes which fields the form has loads the page anew.
document.querySelectorAll("[data-submits]").forEach((field) => {
  field.addEventListener("change", (event) => {
    event.stopPropagation();
    location.search = `?${new URLSearchParams({ [field.name]: field.value })}`;
  });
});
