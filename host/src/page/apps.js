// The screen "Apps": all of them in a table of which only the rows in view exist, so that ten thousand apps
// take no longer than forty. Sorts and filters what it has; asks for nothing else meanwhile.

import { h } from './dom.js';
import { bytes, cores, count, duration, rate, since, visible } from './format.js';
import { ask } from './host.js';
import { appLink, region, sortHeading, turned, unanswered } from './parts.js';

export const title = () => 'Apps';
export const every = 3000;

// The height of a row, which style.css sets as well, and the rows beyond the view that exist nevertheless,
// so that the next row is there for who goes on by keys.
const ROW = 28;
const BEYOND = 12;
// What has no numbers yet comes last, whichever way is sorted.
const NONE = -1;

const some = (number) => (number === 0 ? '' : count(number));
const latency = ({ app }, key) => (app.latency.counts.some((counted) => counted > 0) ? app.latency[key] : null);

// A column of a number that the host counts, empty where it is none.
const counter = (key, name, about, least) => ({
  key,
  name,
  of: (row) => row.app[key],
  show: (row) => some(row.app[key]),
  about,
  least,
});
const percentile = (key, about, least) => ({
  key,
  name: key,
  of: (row) => latency(row, `${key}_us`) ?? NONE,
  show: (row) => duration(latency(row, `${key}_us`)),
  about,
  least,
});

const COLUMNS = [
  { key: 'app', name: 'App', of: (row) => row.app.app, show: (row) => appLink(row.app.app), isText: true },
  {
    key: 'calls',
    name: 'Calls/s',
    of: (row) => row.callRate ?? NONE,
    show: (row) => rate(row.callRate),
    about: 'since the last look, some seconds ago',
  },
  {
    key: 'total',
    name: 'Calls',
    of: (row) => row.app.calls,
    show: (row) => count(row.app.calls),
    about: 'since the hosts started',
    least: true,
  },
  counter('failed', 'Failed', 'through the fault of the app, since the hosts started'),
  counter('errors', '5xx', 'answered so by the app itself, since the hosts started'),
  counter('refused', 'Refused', 'for want of room, since the hosts started', true),
  percentile('p50', 'half of the calls took no longer', true),
  percentile('p99', '99 of 100 calls took no longer'),
  {
    key: 'cpu',
    name: 'Cores',
    of: (row) => row.cpuRate ?? NONE,
    show: (row) => (row.cpuRate === null ? '' : cores(row.cpuRate)),
    about: 'in use, since the last look',
  },
  counter('running', 'Running', 'calls that run now', true),
  counter('waiting', 'Waiting', 'calls that wait now', true),
  {
    key: 'peak',
    name: 'Peak',
    of: (row) => row.app.memory_peak_bytes,
    show: (row) => (row.app.memory_peak_bytes ? bytes(row.app.memory_peak_bytes) : ''),
    about: 'the most memory that one call had',
    least: true,
  },
  {
    key: 'age',
    name: 'Age',
    of: (row) => Date.now() - Date.parse(row.app.deployed_at),
    show: (row) => since(row.app.deployed_at),
    about: 'of the deployment that is served',
    least: true,
  },
  {
    key: 'rollout',
    name: 'Rollout',
    of: (row) => row.app.rollout ?? '',
    show: (row) => visible(row.app.rollout ?? ''),
    isText: true,
    least: true,
  },
];

// What the reader chose, which stays when the screen is left and when the page is loaded again.
const chosen = {
  sort: 'app',
  isDown: false,
  filter: '',
  ...JSON.parse(sessionStorage.getItem('apps') ?? '{}'),
};
let before = null;
const OLD = 60_000;

function choose(what) {
  Object.assign(chosen, what);
  sessionStorage.setItem('apps', JSON.stringify(chosen));
}

export async function load() {
  const told = await ask('/v1/apps?host=*');
  const at = performance.now();
  // Of what was seen long ago no rate of now can be made.
  const last = before && at - before.at < OLD ? before : null;
  const earlier = new Map(last?.apps.map((app) => [app.app, app]));
  const seconds = last ? (at - last.at) / 1000 : 0;
  const rows = told.apps.map((app) => {
    const was = earlier.get(app.app);
    // Counters that went back are of a host that was started anew, or of one that was not asked this time.
    const passed = (key) => (was && app[key] >= was[key] ? (app[key] - was[key]) / seconds : null);
    return { app, callRate: passed('calls'), cpuRate: passed('cpu_seconds') };
  });
  before = { at, apps: told.apps };
  return { rows, sources: told.sources };
}

// Each frame of a scroll shows other rows of the same list, so it is made once for what came and what was chosen.
let sorted = { rows: null, choice: '', found: [] };

function chosenRows(rows) {
  const choice = JSON.stringify(chosen);
  if (sorted.rows !== rows || sorted.choice !== choice) sorted = { rows, choice, found: sortedRows(rows) };
  return sorted.found;
}

function sortedRows(rows) {
  const words = chosen.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const hit = ({ app }) =>
    words.every(
      (word) => app.app.includes(word) || app.routes.some((route) => route.toLowerCase().includes(word)),
    );
  const { of, isText } = COLUMNS.find((column) => column.key === chosen.sort) ?? COLUMNS[0];
  const way = chosen.isDown ? -1 : 1;
  const compare = isText
    ? (one, other) => way * (one < other ? -1 : one > other ? 1 : 0)
    : (one, other) => way * (one - other);
  return rows
    .filter(hit)
    .map((row) => [of(row), row])
    .sort(
      ([one, a], [other, b]) =>
        (isText ? 0 : (one === NONE) - (other === NONE)) ||
        compare(one, other) ||
        (a.app.app < b.app.app ? -1 : 1),
    )
    .map(([, row]) => row);
}

export function show({ rows, sources }) {
  const found = chosenRows(rows);
  const view = document.querySelector('#rows');
  const height = view?.clientHeight || innerHeight;
  const top = Math.min(view?.scrollTop ?? 0, Math.max(0, found.length * ROW - height));
  const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
  const last = Math.min(found.length, Math.ceil((top + height) / ROW) + BEYOND);
  const gap = (key, n) =>
    n > 0 &&
    h(
      'tr',
      { class: 'gap', 'data-key': key, 'aria-hidden': 'true' },
      h('td', { colspan: COLUMNS.length, style: { height: `${n * ROW}px` } }),
    );
  const all = `${rows.length.toLocaleString('en')} app${rows.length === 1 ? '' : 's'}`;
  const said = chosen.filter ? `${found.length.toLocaleString('en')} of ${all}` : all;
  return [
    h('h1', { tabindex: '-1' }, 'Apps'),
    unanswered(sources),
    h(
      'p',
      { class: 'filter' },
      h('label', { for: 'filter' }, 'Filter by name or route'),
      ' ',
      h('input', {
        id: 'filter',
        type: 'search',
        autocomplete: 'off',
        spellcheck: 'false',
        value: chosen.filter,
      }),
      ' ',
      h('span', { class: 'note', id: 'found' }, said),
    ),
    rows.length === 0
      ? h(
          'p',
          { class: 'well' },
          'No app is deployed yet. The command ',
          h('code', {}, 'steerage new hello'),
          ' makes one, and ',
          h('code', {}, 'steerage deploy'),
          ' puts it here.',
        )
      : region(
          'Apps',
          { id: 'rows', class: 'wide tall', 'data-redraw': '' },
          h(
            'table',
            { 'aria-rowcount': found.length + 1 },
            h('caption', { class: 'unseen' }, 'Apps; the buttons in the first row sort them'),
            h(
              'thead',
              {},
              h(
                'tr',
                { 'aria-rowindex': 1 },
                COLUMNS.map((column) => sortHeading({ ...column, kind: kindOf(column) }, chosen)),
              ),
            ),
            h(
              'tbody',
              {},
              gap('above', first),
              found.slice(first, last).map((row, place) => line(row, first + place)),
              gap('below', found.length - last),
            ),
          ),
        ),
  ];
}

const kindOf = ({ isText, least }) => `${isText ? '' : 'number'}${least ? ' least' : ''}`;

function line(row, place) {
  const { app } = row;
  return h(
    'tr',
    { 'data-key': app.app, 'aria-rowindex': place + 2, class: app.failed + app.errors > 0 ? 'failed' : null },
    COLUMNS.map((column, at) =>
      h(
        at === 0 ? 'th' : 'td',
        {
          scope: at === 0 ? 'row' : null,
          'data-row': at === 0,
          class: kindOf(column),
        },
        column.show(row),
      ),
    ),
  );
}

export function sortBy(key) {
  choose(turned(chosen, key, COLUMNS.find((column) => column.key === key).isText));
}

export function filterBy(text) {
  choose({ filter: text });
}

export const isFiltered = () => chosen.filter !== '';
