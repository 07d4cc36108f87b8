// Parts that several screens are made of: facts, tables, problems, commands to copy.
// Asks nothing and decides nothing.

import { h } from './dom.js';
import { visible } from './format.js';

export const appLink = (app) => h('a', { href: `#/app/${encodeURIComponent(app)}` }, visible(app));

// Names and what stands behind them; what is empty is left out.
export function facts(pairs) {
  const isEmpty = (value) =>
    Array.isArray(value) ? value.length === 0 : [null, undefined, '', false].includes(value);
  const said = pairs.filter(([, value]) => !isEmpty(value));
  return h(
    'dl',
    { class: 'facts' },
    said.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  );
}

// What may be wider than the window: a box that scrolls by itself, which keys can reach.
export function region(label, attributes, ...children) {
  const fixed = { class: 'wide', tabindex: '0', role: 'region', 'aria-label': label };
  return h('div', { ...fixed, ...attributes }, ...children);
}

// A heading that sorts its column. `main` tells the screen which one was pressed.
export function sortHeading({ key, name, about, kind }, chosen) {
  const isChosen = chosen.sort === key;
  const sort = !isChosen ? 'none' : chosen.isDown ? 'descending' : 'ascending';
  return h(
    'th',
    { scope: 'col', class: kind, 'aria-sort': sort },
    h(
      'button',
      { type: 'button', 'data-sort': key, title: about },
      name,
      h('span', { 'aria-hidden': 'true' }, !isChosen ? '' : chosen.isDown ? ' ▼' : ' ▲'),
    ),
  );
}

// What is chosen after a press of a heading: a number begins with its most, a text with A.
export const turned = (chosen, key, isText) => ({
  sort: key,
  isDown: chosen.sort === key ? !chosen.isDown : !isText,
});

// A column is `[heading, class]`, with a third part where its heading sorts; a row is `{ key, cells, class }`. The
// first cell names its row. `foot` are rows below that stay when others are sorted.
export function table(caption, columns, rows, attributes = {}, foot = []) {
  const line = (row) => h('tr', { 'data-key': row.key, class: row.class }, row.cells.map(cell));
  const cell = (value, place) =>
    place === 0
      ? h('th', { scope: 'row', class: columns[0][1] }, value)
      : h('td', { class: columns[place][1] }, value);
  return region(
    caption,
    {},
    h(
      'table',
      attributes,
      h('caption', {}, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          columns.map(([name, kind, sorts]) => sorts ?? h('th', { scope: 'col', class: kind }, name)),
        ),
      ),
      h('tbody', {}, rows.map(line)),
      foot.length > 0 && h('tfoot', {}, foot.map(line)),
    ),
  );
}

// A part of a whole. The words beside it say the same, so nobody has to see it.
export function meter(part, whole) {
  const percent = whole > 0 ? Math.min(100, Math.round((100 * part) / whole)) : 0;
  const full = percent >= 90 ? 'meter full' : 'meter';
  return h('span', { class: full, 'aria-hidden': 'true' }, h('span', { style: { width: `${percent}%` } }));
}

// A command as it is typed, and a button that copies it. Nothing on the page runs one.
export function command(text, note) {
  return h(
    'p',
    { class: 'command' },
    h('code', {}, visible(text)),
    h(
      'button',
      { type: 'button', 'data-copy': text },
      h('span', {}, 'Copy'),
      h('span', { class: 'unseen' }, ` the command ${visible(text)}`),
    ),
    note && h('span', { class: 'note' }, note),
  );
}

export function remedy(what) {
  if (!what) return null;
  const note = what.changes ? 'changes something' : 'only looks';
  return [
    h('p', { class: 'remedy' }, h('span', { class: 'word' }, 'Next '), visible(what.text)),
    what.command && command(what.command, note),
  ];
}

export function evidence(lines) {
  return (
    lines.length > 0 &&
    h(
      'ul',
      { class: 'evidence', 'aria-label': 'Because' },
      lines.map((line) => h('li', {}, visible(line))),
    )
  );
}

// What is wrong with an app or with the hosts, as `why` tells it.
export function diagnosis({ claim, evidence: lines, remedy: next }) {
  return h(
    'article',
    { class: 'problem', 'data-key': claim },
    h('h2', { class: 'claim' }, visible(claim)),
    evidence(lines),
    remedy(next),
  );
}

// Who was asked and did not say anything: what is shown then is not all.
export function unanswered(sources) {
  const silent = sources?.unanswered ?? [];
  if (silent.length === 0) return null;
  const names = silent.map(({ host, why }) => `${visible(host)} (${visible(why)})`).join(', ');
  return h('p', { class: 'warning' }, `No answer from, so not in this: ${names}.`);
}

// A state as a word; the colour only repeats it.
export const state = (word, isGood) => h('span', { class: isGood ? 'state good' : 'state bad' }, visible(word));

// Copies a text where the browser lets it; only pages of this machine or with TLS may use the clipboard, so
// elsewhere the text is selected and the old way is tried.
export async function copy(button) {
  let isDone = true;
  try {
    await navigator.clipboard.writeText(button.getAttribute('data-copy'));
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    isDone = document.execCommand('copy');
  }
  button.firstElementChild.textContent = isDone ? 'Copied' : 'Selected';
  return isDone;
}
