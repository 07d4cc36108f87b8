// The flame graph of a tree of stacks: boxes as wide as their share of the CPU time, each below the one that called
// it. A click or Enter zooms in, arrows lead from box to box, and what has the pointer or the focus is said in words.
// Asks nothing. The table beside it says the same to who does not see it.

import { h } from './dom.js';
import { visible } from './format.js';

// The height of a box with its gap, which style.css knows as well.
const ROW = 22;
// What is narrower, as a part of what is shown, is drawn only where it has the focus or leads there.
const NARROWEST = 0.002;
// So many boxes at most, the widest: each press of a key puts all in their places.
const MOST_BOXES = 2000;
// A box that has not so many pixels for a name has none.
const LEAST_FOR_NAME = 24;
const WARM = 5;
// A share that changed by so much, or more, has the strongest colour.
const STRONG = 0.1;

export const percent = (part) => `${(100 * part).toFixed(1)}%`;
export const sampleCount = (number) => `${number.toLocaleString('en')} sample${number === 1 ? '' : 's'}`;
export const points = (part) => `${part < 0 ? '−' : '+'}${Math.abs(100 * part).toFixed(1)}`;

// What is looked at: which graph, which box fills its width, which has the focus or had it, of which it is said what
// it stands for. Boxes are known by numbers that stay when others come between them.
const view = { of: '', zoomed: 1, focused: 1, said: null };
let numbers = new Map();
let drawn = new Map();
let [wording, hits] = [null, new Set()];

// Forgets where its reader was in another graph.
export function lookAt(of) {
  if (view.of === of) return;
  numbers = new Map();
  Object.assign(view, { of, zoomed: 1, focused: 1, said: null });
}

export const isZoomed = () => view.zoomed !== 1;

export function zoomOut() {
  const was = isZoomed();
  view.zoomed = 1;
  return was;
}

function numberOf(at, parent) {
  const key = `${parent} ${at.name}`;
  if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
  return numbers.get(key);
}

export function graph(root, found, compared) {
  number(root, 0);
  const zoomed = byNumber(root, view.zoomed) ?? root;
  if (zoomed === root) view.zoomed = 1;
  const focused = byNumber(root, view.focused) ?? zoomed;
  // Whoever is at a box stays there, however narrow it is.
  const kept = new Set(lineTo(focused));
  drawn = new Map();
  let [rows, narrow] = [0, 0];
  const place = (at, left, width) => {
    drawn.set(at.number, { at, left, width });
    rows = Math.max(rows, at.depth + 1);
  };
  const least = narrowest(zoomed);
  const layOut = (at, left) => {
    for (const child of at.children) {
      const width = child.samples / zoomed.samples;
      if (width >= least || (kept.has(child) && width > 0)) {
        place(child, left, width);
        layOut(child, left);
      } else if (width > 0) narrow += 1;
      left += width;
    }
  };
  for (const at of lineTo(zoomed)) place(at, 0, 1);
  layOut(zoomed, 0);
  const stop = drawn.has(view.focused) ? view.focused : zoomed.number;
  [wording, hits] = [(at) => sentence(at, compared), found.hits];
  return [
    h('p', { id: 'frame-line' }, said(drawn.get(view.said)?.at)),
    h(
      'div',
      {
        class: found.isAsked ? 'flame searched' : 'flame',
        role: 'tree',
        'aria-label': 'Flame graph: arrow keys go from box to box, Enter zooms in, Escape zooms out',
        'data-key': 'flame',
        style: { height: `${rows * ROW}px` },
      },
      [...drawn.values()].map((one) => box(one, { zoomed, stop, found, compared })),
    ),
    narrow > 0 &&
      h(
        'p',
        { class: 'note' },
        `Not drawn: ${narrow === 1 ? '1 box that is' : `${narrow} boxes that are`} narrower than ${(100 * least).toFixed(2)}% of what is shown. Zoom in to see more.`,
      ),
  ];
}

// The width of the narrowest box that is drawn. What is called is no wider than what calls it, so what is drawn stays
// in one piece.
function narrowest(zoomed) {
  const widths = [];
  const walk = (at) => {
    for (const child of at.children) {
      widths.push(child.samples / zoomed.samples);
      walk(child);
    }
  };
  walk(zoomed);
  if (widths.length <= MOST_BOXES) return NARROWEST;
  const beyond = widths.sort((one, other) => other - one)[MOST_BOXES];
  return Math.max(NARROWEST, beyond * (1 + 1e-9));
}

function number(at, parent) {
  at.number = numberOf(at, parent);
  for (const child of at.children) number(child, at.number);
}

function byNumber(at, wanted) {
  if (at.number === wanted) return at.samples > 0 ? at : null;
  for (const child of at.children) {
    const found = byNumber(child, wanted);
    if (found) return found;
  }
  return null;
}

// From the outermost function to this one.
const lineTo = (at) => (at ? [...lineTo(at.parent), at] : []);

function box({ at, left, width }, { zoomed, stop, found, compared }) {
  const isOuter = at.depth < zoomed.depth;
  const isThin = width * document.querySelector('#main').clientWidth < LEAST_FOR_NAME;
  const kinds = [
    'frame',
    colour(at, compared),
    isOuter && 'outer',
    isThin && 'thin',
    found.hits.has(at) && 'hit',
  ];
  return h(
    'div',
    {
      class: kinds.filter(Boolean).join(' '),
      role: 'treeitem',
      'data-key': String(at.number),
      'data-frame': String(at.number),
      'aria-level': String(at.depth + 1),
      'aria-selected': String(at === zoomed),
      'aria-label': sentence(at, compared),
      tabindex: at.number === stop ? '0' : '-1',
      style: {
        left: `${(100 * left).toFixed(3)}%`,
        width: `${(100 * width).toFixed(3)}%`,
        top: `${at.depth * ROW}px`,
      },
    },
    !isThin && named(at, compared),
  );
}

// The name, and what changed where that is more than chance.
const named = ({ name, grown, isChance }, compared) =>
  compared && !isChance ? `${visible(name)} ${grown > 0 ? '▲' : '▼'} ${points(grown)}` : visible(name);

// What stands for no function of the app is grey. With a comparison a colour says what changed, and a sign does too.
function colour({ name, parent, grown, isChance }, compared) {
  if (!parent) return 'even';
  if (compared) {
    if (isChance) return 'even';
    const strength = Math.min(3, 1 + Math.floor((3 * Math.abs(grown)) / STRONG));
    return `${grown > 0 ? 'more' : 'less'}-${strength}`;
  }
  if (name.startsWith('[')) return 'even';
  let hash = 7;
  for (const char of name) hash = (31 * hash + char.codePointAt(0)) % 1_000_003;
  return `warm-${hash % WARM}`;
}

function sentence(at, compared) {
  if (!at.parent) return `${at.name}: all that was sampled, ${sampleCount(at.samples)}`;
  const shares = `${percent(at.ownPart)} by itself, ${percent(at.part)} with what it called`;
  const change = `, ${points(at.grown)} points against generation ${compared?.generation}${at.isChance ? ', which may be chance' : ''}`;
  return `${named(at, compared)}: ${shares}, ${sampleCount(at.samples)}${compared ? change : ''}`;
}

const said = (at) =>
  at ? wording(at) : 'Point at a box, or press Tab and then the arrow keys, to read what it stands for.';

const frameOf = (event) => event.target.closest?.('[data-frame]');
const element = (number) => document.querySelector(`[data-frame="${number}"]`);

function say(number) {
  const at = drawn.get(number)?.at;
  if (!at) return;
  view.said = number;
  document.querySelector('#frame-line').textContent = said(at);
}

// Brings the focus to the widest box that was searched for, if there is one.
export function focusFound() {
  const [widest] = [...drawn.values()]
    .filter(({ at }) => hits.has(at))
    .sort((one, other) => other.width - one.width);
  if (widest) element(widest.at.number)?.focus();
}

// Each says whether something else is to be shown now.
export const on = {
  click(event) {
    const frame = frameOf(event);
    if (frame) view.zoomed = Number(frame.dataset.frame);
    return Boolean(frame);
  },
  pointerover(event) {
    const frame = frameOf(event);
    if (frame) say(Number(frame.dataset.frame));
  },
  // Tab leads to the box where the focus was last, and to no other.
  focusin(event) {
    const frame = frameOf(event);
    if (!frame) return;
    for (const other of document.querySelectorAll('[data-frame][tabindex="0"]')) other.tabIndex = -1;
    frame.tabIndex = 0;
    view.focused = Number(frame.dataset.frame);
    say(view.focused);
  },
  keydown(event) {
    const frame = frameOf(event);
    if (!frame || event.ctrlKey || event.metaKey || event.altKey) return false;
    const here = drawn.get(Number(frame.dataset.frame));
    if (!here) return false;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      view.zoomed = here.at.number;
      return true;
    }
    const to = STEPS[event.key]?.(here);
    if (!to) return false;
    event.preventDefault();
    element(to.at.number)?.focus();
    return false;
  },
};

const inRow = (depth) =>
  [...drawn.values()].filter(({ at }) => at.depth === depth).sort((one, other) => one.left - other.left);
const beside = (here, by) => {
  const row = inRow(here.at.depth);
  return row[row.indexOf(here) + by];
};
const STEPS = {
  ArrowUp: ({ at }) => drawn.get(at.parent?.number),
  ArrowDown: ({ at }) =>
    inRow(at.depth + 1)
      .filter((one) => one.at.parent === at)
      .sort((one, other) => other.width - one.width)[0],
  ArrowLeft: (here) => beside(here, -1),
  ArrowRight: (here) => beside(here, 1),
  Home: () => inRow(0)[0],
};
