// The screen of an app's profile: which functions spend its CPU time, in which calls of each other, and what changed
// since an earlier deployment.
// Takes no samples: hosts do, all the time. What it shows is of deployments that they still keep.

import * as flame from './flame.js';
import { h } from './dom.js';
import { many, since, visible } from './format.js';
import { ask } from './host.js';
import { appLink, command, sortHeading, table, turned, unanswered } from './parts.js';
import { search, shares, tree } from './stacks.js';

export const title = ([app]) => `Profile of ${visible(app)}`;
// Hosts put together stacks for each look.
export const every = 10_000;
export const above = ({ app }) => (app ? `#/app/${encodeURIComponent(app)}` : '#/apps');

// So many functions at first, and so many that changed most in words.
const FIRST = 25;
const MOST_CHANGES = 3;

// What the reader chose, and by what functions are sorted where nothing is chosen.
const chosen = { app: null, sort: '', isDown: true, filter: '', isWhole: false };
let sorted = chosen;

export async function load([app, generation, against]) {
  return { app, generation, against, told: await ask(`/v1/apps/${encodeURIComponent(app)}/profile?host=*`) };
}

const link = (app, ...generations) => `#/profile/${[app, ...generations].map(encodeURIComponent).join('/')}`;

export function show({ app, generation, against, told }) {
  if (chosen.app !== app) Object.assign(chosen, { app, sort: '', filter: '', isWhole: false });
  const all = told.deployments;
  const of = (wanted) => all.find((one) => String(one.generation) === wanted);
  const deployment = generation ? of(generation) : all.at(-1);
  const compared = against ? of(against) : null;
  const head = [
    h('p', { class: 'path' }, h('a', { href: '#/apps' }, 'Apps'), ' / ', appLink(app)),
    h('h1', { tabindex: '-1' }, title([app])),
    unanswered(told.sources),
    told.lost > 0 &&
      h(
        'p',
        { class: 'warning' },
        `${flame.sampleCount(told.lost)} of all apps were lost: a host had no time to take them.`,
      ),
  ];
  if (all.length === 0) return [head, nothing(app, told.per_second)];
  const missing = [!deployment && generation, against && !compared && against].filter(Boolean);
  if (missing.length > 0) {
    const kept = all.map((one) => one.generation).join(' and ');
    return [
      head,
      h(
        'p',
        { class: 'warning' },
        `There is no profile of generation ${visible(missing.join(' or '))}: there is one of ${kept}. Hosts keep those of the last deployments that were called.`,
      ),
      choice(app, all, null, null),
    ];
  }
  flame.lookAt(`${app} ${deployment.generation} ${compared?.generation ?? ''}`);
  const root = tree(deployment, compared);
  const found = search(root, chosen.filter);
  return [
    head,
    choice(app, all, deployment, compared),
    h('p', {}, sampled(deployment, told.per_second)),
    compared && changed(root, deployment, compared),
    h('h2', {}, 'Flame graph'),
    tools(found),
    compared && legend(compared),
    flame.graph(root, found, compared),
    functions(root, found, compared),
    h('h2', {}, 'The same on the command line'),
    command(
      `steerage profile ${app} --generation ${deployment.generation}${compared ? ` --diff ${compared.generation}` : ''}`,
    ),
  ];
}

function nothing(app, perSecond) {
  if (perSecond === 0) {
    return h(
      'p',
      {},
      'There are no profiles: the hosts were started with ',
      h('code', {}, '--profile-frequency 0'),
      '. Start them without it, and call the app.',
    );
  }
  return h(
    'p',
    {},
    `There are no samples of ${visible(app)} yet. A thread is sampled ${perSecond} times for each second of CPU time, and its calls have used less since it was deployed or the hosts were started. Call it more, for some seconds of work: this page looks again by itself.`,
  );
}

// The deployments of which there is a profile, and what each is compared with.
function choice(app, all, deployment, compared) {
  const one = (text, href, isChosen) =>
    h('a', { href, 'data-key': text, 'aria-current': isChosen ? 'true' : null }, text);
  const group = (name, links) =>
    h('span', { role: 'group', 'aria-label': name }, h('span', { class: 'word' }, name), links);
  return h(
    'p',
    { class: 'choice' },
    group(
      'Generation',
      all.toReversed().map(({ generation }) => {
        const kept = compared && compared.generation !== generation ? [compared.generation] : [];
        return one(String(generation), link(app, generation, ...kept), generation === deployment?.generation);
      }),
    ),
    deployment &&
      all.length > 1 &&
      group('Against', [
        one('none', link(app, deployment.generation), !compared),
        all
          .toReversed()
          .filter(({ generation }) => generation !== deployment.generation)
          .map(({ generation }) =>
            one(
              String(generation),
              link(app, deployment.generation, generation),
              generation === compared?.generation,
            ),
          ),
      ]),
  );
}

function sampled({ generation, samples, since: from, until, left_out: leftOut }, perSecond) {
  const seconds = perSecond > 0 ? `, about ${(samples / perSecond).toFixed(1)} s of CPU time` : '';
  const others =
    leftOut > 0
      ? ` ${flame.sampleCount(leftOut)} were in other stacks than are kept: they are the box [other stacks].`
      : '';
  // Two standard deviations of the share that varies most, which is a half.
  const margin = (100 / Math.sqrt(Math.max(1, samples))).toFixed(1);
  return `${flame.sampleCount(samples)} of generation ${generation}${seconds}, from ${since(from)} to ${since(until)} ago. By chance a share may be off by ${margin} points.${others}`;
}

// What changed most, in words.
function changed(root, { generation }, compared) {
  const most = shares(root)
    .filter(({ isChance }) => !isChance)
    .sort((one, other) => Math.abs(other.ownGrown) - Math.abs(one.ownGrown))
    .slice(0, MOST_CHANGES);
  const words = ({ name, own, ownBefore, ownGrown }) =>
    `${visible(name)} takes ${Math.abs(100 * ownGrown).toFixed(1)} points ${ownGrown > 0 ? 'more' : 'less'}: ${flame.percent(ownBefore)} by itself then, ${flame.percent(own)} now`;
  const then = `generation ${compared.generation}, of which there are ${flame.sampleCount(compared.samples)}`;
  return most.length === 0
    ? h(
        'p',
        {},
        `No function by itself takes so much more or less than in ${then} that it is more than chance.`,
      )
    : [
        h('p', {}, `Generation ${generation} against ${then}:`),
        h(
          'ul',
          { class: 'evidence' },
          most.map((share) => h('li', {}, words(share))),
        ),
      ];
}

function tools(found) {
  const names = many(found.names.size, 'function');
  const said =
    found.names.size === 0
      ? 'no function matches'
      : `${names} match${found.names.size === 1 ? 'es' : ''}, and ran in ${flame.percent(found.part)} of the samples`;
  return h(
    'p',
    { class: 'filter' },
    h('label', { for: 'filter' }, 'Search functions'),
    ' ',
    h('input', {
      id: 'filter',
      type: 'search',
      autocomplete: 'off',
      spellcheck: 'false',
      value: chosen.filter,
    }),
    ' ',
    h(
      'button',
      { type: 'button', id: 'zoom-out', 'aria-disabled': flame.isZoomed() ? null : 'true' },
      'Zoom out ',
      h('kbd', {}, 'Esc'),
    ),
    ' ',
    h('span', { class: 'note', id: 'found', role: 'status' }, found.isAsked && said),
  );
}

function legend({ generation }) {
  const mark = (kind, sign, words) => [h('span', { class: `frame-mark ${kind}` }, sign), ` ${words} `];
  return h(
    'p',
    { class: 'legend' },
    mark('more-2', '▲', `larger part of the CPU time than in generation ${generation}, in points of a hundred`),
    mark('less-2', '▼', 'smaller part'),
    mark('even', '·', 'no more than chance'),
  );
}

// The columns; `of` is by what a row stands in its place, and `show` what is written.
const part = (key, name, about) => ({
  key,
  name,
  about,
  kind: 'number',
  of: (share) => share[key],
  show: (share) => flame.percent(share[key]),
});
const change = (key, about) => ({
  key,
  name: 'Change',
  about,
  kind: 'number',
  of: (share) => Math.abs(share[key]),
  show: (share) => flame.points(share[key]),
});
const FUNCTION = {
  key: 'name',
  name: 'Function',
  about: 'by its name',
  kind: 'text',
  isText: true,
  of: (share) => share.name,
  show: (share) =>
    h(
      'span',
      { 'data-row': '' },
      h(
        'button',
        { type: 'button', class: 'plain', 'data-find': share.name, title: 'show it in the graph' },
        visible(share.name),
      ),
    ),
};
const SELF = part('own', 'Self', 'what it ran by itself');
const TOTAL = part('total', 'Total', 'with what it called');
const SAMPLES = {
  key: 'samples',
  name: 'Samples',
  about: 'in which it, or what it called, ran',
  kind: 'number least',
  of: (share) => share.samples,
  show: (share) => share.samples,
};
const COLUMNS = [FUNCTION, SELF, TOTAL, SAMPLES];
const COMPARED = [
  FUNCTION,
  SELF,
  change('ownGrown', 'of what it ran by itself, in points'),
  TOTAL,
  change('totalGrown', 'with what it called, in points'),
  SAMPLES,
];

function functions(root, found, compared) {
  const columns = compared ? COMPARED : COLUMNS;
  // What changed most is first where something is compared, as on the command line.
  const by = columns.find(({ key }) => key === chosen.sort) ?? (compared ? columns[2] : SELF);
  sorted = { sort: by.key, isDown: by.key === chosen.sort ? chosen.isDown : true };
  const order = (one, other) => {
    const [a, b] = [by.of(one), by.of(other)];
    return a === b ? other.total - one.total : (a < b ? -1 : 1) * (sorted.isDown ? -1 : 1);
  };
  const wanted = chosen.filter.trim().toLowerCase();
  const all = shares(root)
    .filter(({ name }) => name.toLowerCase().includes(wanted))
    .sort(order);
  const shown = chosen.isWhole ? all : all.slice(0, FIRST);
  return [
    h('h2', {}, 'Functions'),
    all.length === 0
      ? h('p', { class: 'note' }, 'None that matches.')
      : table(
          'Functions and their parts of the CPU time; the buttons in the first row sort them',
          columns.map((column) => [column.name, column.kind, sortHeading(column, sorted)]),
          shown.map((share) => ({
            key: share.name,
            class: found.isAsked ? 'hit' : null,
            cells: columns.map((column) => column.show(share)),
          })),
        ),
    all.length > FIRST &&
      h(
        'p',
        {},
        h(
          'button',
          { type: 'button', id: 'whole', 'aria-expanded': String(chosen.isWhole) },
          chosen.isWhole ? `Show the first ${FIRST}` : `Show all ${all.length}`,
        ),
      ),
  ];
}

export function sortBy(key) {
  Object.assign(chosen, turned(sorted, key, key === 'name'));
}

export function filterBy(text) {
  chosen.filter = text;
}

export const isFiltered = () => chosen.filter !== '';

// One step back, if there is one within the screen.
export const back = () => flame.zoomOut();

export const on = {
  ...flame.on,
  click(event) {
    const button = event.target.closest('button');
    if (button?.id === 'zoom-out') return flame.zoomOut();
    if (button?.id === 'whole') {
      chosen.isWhole = !chosen.isWhole;
      return true;
    }
    if (button?.dataset.find !== undefined) {
      chosen.filter = button.dataset.find;
      document.querySelector('#filter').value = chosen.filter;
      document.querySelector('.flame').scrollIntoView({ block: 'nearest' });
      return true;
    }
    return flame.on.click(event);
  },
  keydown(event) {
    if (event.target.id !== 'filter' || event.key !== 'Enter') return flame.on.keydown(event);
    event.preventDefault();
    flame.focusFound();
    return false;
  },
};
