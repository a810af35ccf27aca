// Looks at the page as it stands and returns what is wrong with it, a sentence
// each.
(() => {
  const wrong = [];
  const name = (element) => element.tagName.toLowerCase() + (element.className && typeof element.className === "string" ? "." + element.className.trim().replace(/\s+/g, ".") : "")
    + " \"" + (element.textContent || element.name || "").trim().replace(/\s+/g, " ").slice(0, 40) + "\"";
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getBoundingClientRect().width > 1;

  // It fits.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > width + 1);
    wrong.push("the page scrolls sideways because of " + wide.slice(0, 3).map(name).join(", "));
  }

  // It says what it is.
  if (document.documentElement.lang === "") wrong.push("the page has no language");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("the page has " + document.querySelectorAll("h1").length + " main headings");
  if (!document.title) wrong.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("the page has no main part");

  // It has nothing to be alarmed about.
  const banner = document.querySelector(".banner");
  if (!banner.hidden) wrong.push("the page says: " + banner.textContent);

  // Every page has sign-out, to whom it concerns.
  const signedIn = document.querySelector(".person .name") !== null;
  const signOut = document.querySelector(".person form[action=\"/sign-out\"] button");
  if (signedIn !== (signOut !== null && shown(signOut))) wrong.push("signed in: " + signedIn + ", but a sign-out is shown: " + (signOut !== null));

  // What can be used has a name, a size for fingers, and shows the focus.
  const usable = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].filter((element) => shown(element) && !element.disabled);
  const before = document.activeElement;
  for (const element of usable) {
    const label = element.getAttribute("aria-label") || [...(element.labels || [])].map((l) => l.textContent).join(" ") || element.textContent;
    if (!label.trim()) wrong.push(name(element) + " has no name");
    if (element.tabIndex !== 0) wrong.push(name(element) + " is reached out of turn, or not at all");
    const box = element.getBoundingClientRect();
    const inText = element.tagName === "A" && getComputedStyle(element).display === "inline";
    const labelled = [...(element.labels || [])].some((l) => l.contains(element));
    if (!inText && !labelled && (box.width < 24 || box.height < 24)) wrong.push(name(element) + " is " + Math.round(box.width) + " by " + Math.round(box.height));
    element.focus({ preventScroll: true, focusVisible: true });
    const style = getComputedStyle(element);
    if (document.activeElement !== element) wrong.push(name(element) + " takes no focus");
    else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push(name(element) + " does not show its focus");
  }
  if (before && before !== document.body) before.focus({ preventScroll: true });
  else document.activeElement.blur();

  // Text stands out from what is behind it.
  const channels = (color) => {
    const c = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    c.fillStyle = color;
    c.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = c.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const known = new Map();
  const colour = (text) => { if (!known.has(text)) known.set(text, channels(text)); return known.get(text); };
  const over = ([r, g, b, a], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a), 1];
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const c = colour(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const dim = (element) => { let o = 1; for (let e = element; e; e = e.parentElement) o *= parseFloat(getComputedStyle(e).opacity); return o; };
  const seen = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || seen.has(element) || element.closest("svg, .unseen") || !shown(element)) continue;
    seen.add(element);
    const style = getComputedStyle(element), back = behind(element);
    const ink = colour(style.color);
    const front = over([ink[0], ink[1], ink[2], ink[3] * dim(element)], back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && parseInt(style.fontWeight) >= 700;
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) wrong.push(name(element) + " has a contrast of " + contrast.toFixed(2));
  }
  return wrong;
})()
