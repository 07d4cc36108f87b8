// Makes elements and puts a new tree in the place of an old one without losing focus, place or selection.
// Text is always set as text: nothing here reads HTML, so no word of a guest can become any.

// An element. An attribute that is null or false is left out; `style` is an object, set by script, since the
// page's policy allows no style in text. A link leads to a screen of this page and nowhere else.
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'style') {
      for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    } else if (name === 'href' && !String(value).startsWith('#/')) {
      throw new Error(`a link of the page must begin with #/: ${value}`);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false && child !== '') {
      element.append(document.createTextNode(String(child)));
    }
  }
}

// Makes the children of `old` what `fresh` are. What is the same stays the element that it is.
export function put(old, fresh) {
  const keys = new Set(fresh.map(keyOf).filter(Boolean));
  let at = old.firstChild;
  for (const node of fresh) {
    const key = keyOf(node);
    // Rows that are gone make way, so that those that stay are not moved: a moved element loses focus.
    while (at && keyOf(at) && keyOf(at) !== key && !keys.has(keyOf(at))) at = removed(at);
    if (at && isSame(at, node)) {
      update(at, node);
      at = at.nextSibling;
      continue;
    }
    const known = key && [...old.children].find((child) => keyOf(child) === key);
    if (known && isSame(known, node)) {
      old.insertBefore(known, at);
      update(known, node);
    } else {
      old.insertBefore(node, at);
    }
  }
  while (at) at = removed(at);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute('data-key') : null;
}

function isSame(old, fresh) {
  return old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
}

function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whoever opened a fold or wrote into a field keeps it so.
    if (name !== 'open' && name !== 'style' && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name === 'style' || name === 'value') continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.hasAttribute('data-plot')) return;
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  put(old, [...fresh.childNodes]);
}
