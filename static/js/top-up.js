// The form of the top-up page: a preset, an amount of one's own and a pack exclude one another.

const form = document.querySelector(".pay-form");
const amount = form?.querySelector("#amount");
const other = form?.querySelector('[name="preset"][value="other"]');
const noPack = form?.querySelector('[name="pack"][value=""]');

amount?.addEventListener("input", () => {
  other.checked = true;
  if (noPack) noPack.checked = true;
});
for (const preset of form?.querySelectorAll('[name="preset"]') ?? []) {
  preset.addEventListener("change", () => {
    if (preset === other) amount.focus();
    else amount.value = "";
    if (noPack) noPack.checked = true;
  });
}
