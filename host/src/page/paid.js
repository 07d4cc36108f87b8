// The tables of a bill: what apps, tenants and hosts pay and cost, with bars of their parts.
// Asks nothing and splits nothing: each table adds up what the host told.

import { h } from './dom.js';
import { many, visible } from './format.js';
import { appLink, sortHeading, table, turned } from './parts.js';

const OF_APP = ['use', 'reserved', 'idle'];
// So many rows at first, and so many more for each press.
const FIRST = 50;
const MORE = 200;

// What the reader chose.
const chosen = { sort: 'sum', isDown: true, filter: '', rows: FIRST };

export const money = (millionths, decimals) => (millionths / 1e6).toFixed(decimals);
// With the decimals that it has.
export const hourly = (millionths) => money(millionths, 6).replace(/(\.\d\d\d*?)0+$/, '$1');
export const percent = (part, whole) =>
  whole === 0 ? '' : part > 0 && part / whole < 0.001 ? '<0.1%' : `${((100 * part) / whole).toFixed(1)}%`;
const hours = (seconds) => (Math.floor(seconds / 360) / 10).toFixed(1);
export const sumOf = (list, key) => list.reduce((sum, one) => sum + one[key], 0);

// Parts of a whole side by side. Words beside them say the same.
export const bar = (kind, parts) =>
  h(
    'span',
    { class: kind, 'aria-hidden': 'true' },
    parts
      .filter(([, amount]) => amount > 0)
      .map(([key, amount]) =>
        h('span', { class: `paid-${key}`, 'data-key': key, style: { 'flex-grow': String(amount) } }),
      ),
  );

const appName = (app) => (app.tenant === null ? visible(app.app) : appLink(app.app));
const tenantName = (tenant) => (tenant === null ? '-' : visible(tenant));
const partColumn = (key, name, least) => ({
  key,
  name,
  kind: least ? 'number least' : 'number',
  of: (one) => one[`${key}_millionths`],
});
const COLUMNS = [
  { key: 'app', name: 'App', isText: true, of: (one) => one.app },
  { key: 'tenant', name: 'Tenant', kind: 'least', isText: true, of: (one) => one.tenant ?? '' },
  partColumn('use', 'Use'),
  partColumn('reserved', 'Reserved', true),
  partColumn('idle', 'Idle', true),
  partColumn('sum', 'Sum'),
];
const SHARE = [
  ['Share', 'number'],
  ['As a bar', 'least'],
];

// The cells of what is paid: its parts, its sum, its share of all, and a bar.
function cells(one, total, most, say) {
  return [
    ...[...OF_APP, 'sum'].map((key) => say(one[`${key}_millionths`])),
    percent(one.sum_millionths, total),
    h(
      'span',
      { class: 'share' },
      h(
        'span',
        { style: { width: `${most > 0 ? (100 * one.sum_millionths) / most : 0}%` } },
        bar(
          'parts',
          OF_APP.map((key) => [key, one[`${key}_millionths`]]),
        ),
      ),
    ),
  ];
}

export function apps(bill, amounts, say) {
  const total = bill.total_millionths;
  const words = chosen.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = bill.apps.filter(({ app, tenant }) =>
    words.every((word) => `${app} ${tenant ?? ''}`.toLowerCase().includes(word)),
  );
  const { of } = COLUMNS.find(({ key }) => key === chosen.sort);
  const order = (one, other) => {
    const [a, b] = [of(one), of(other)];
    if (a === b) return one.app < other.app ? -1 : 1;
    return (a < b ? -1 : 1) * (chosen.isDown ? -1 : 1);
  };
  const shown = found.toSorted(order).slice(0, chosen.rows);
  const most = Math.max(0, ...bill.apps.map((app) => app.sum_millionths));
  const rest = (name, idle, amount) => ({
    key: name,
    cells: [name, '', '', '', idle, say(amount), percent(amount, total), ''],
  });
  const foot = [
    bill.idle_millionths > 0 && rest('(idle)', say(bill.idle_millionths), bill.idle_millionths),
    bill.unknown_millionths > 0 && rest('(not known)', '', bill.unknown_millionths),
    {
      key: 'total',
      cells: [
        'Total',
        '',
        say(amounts.use),
        say(amounts.reserved),
        say(amounts.idle),
        say(sumOf(bill.apps, 'sum_millionths') + bill.idle_millionths + bill.unknown_millionths),
        percent(total, total),
        '',
      ],
    },
  ].filter(Boolean);
  const all = many(bill.apps.length, 'app');
  return [
    h('h2', {}, 'Who pays'),
    h(
      'p',
      { class: 'filter' },
      h('label', { for: 'filter' }, 'Filter by app or tenant'),
      ' ',
      h('input', {
        id: 'filter',
        type: 'search',
        autocomplete: 'off',
        spellcheck: 'false',
        value: chosen.filter,
      }),
      ' ',
      h('span', { class: 'note', id: 'found' }, chosen.filter ? `${found.length} of ${all}` : all),
    ),
    table(
      'Apps and what they pay; the buttons in the first row sort them',
      [...COLUMNS.map((column) => [column.name, column.kind, sortHeading(column, chosen)]), ...SHARE],
      shown.map((app) => ({
        key: `${app.tenant ?? ''} ${app.app}`,
        cells: [
          h('span', { 'data-row': '' }, appName(app)),
          tenantName(app.tenant),
          ...cells(app, total, most, say),
        ],
      })),
      { class: 'paid' },
      foot,
    ),
    found.length > shown.length &&
      h(
        'p',
        {},
        h('button', { type: 'button', id: 'more' }, `Show ${Math.min(MORE, found.length - shown.length)} more`),
        h('span', { class: 'note' }, ` ${shown.length} of ${found.length} are shown`),
      ),
  ];
}

export function tenants(bill, say) {
  const sums = new Map();
  for (const app of bill.apps) {
    const sum = sums.get(app.tenant) ?? { tenant: app.tenant, n: 0 };
    sum.n += 1;
    for (const key of [...OF_APP, 'sum'])
      sum[`${key}_millionths`] = (sum[`${key}_millionths`] ?? 0) + app[`${key}_millionths`];
    sums.set(app.tenant, sum);
  }
  if (sums.size < 2) return null;
  const all = [...sums.values()].sort((one, other) => other.sum_millionths - one.sum_millionths);
  return [
    h('h2', {}, 'By tenant'),
    table(
      'Tenants and what their apps pay, who pays most first',
      [
        ['Tenant'],
        ['Apps', 'number'],
        ['Use', 'number'],
        ['Reserved', 'number least'],
        ['Idle', 'number least'],
        ['Sum', 'number'],
        ...SHARE,
      ],
      all.slice(0, FIRST).map((one) => ({
        key: one.tenant ?? '',
        cells: [
          tenantName(one.tenant),
          one.n,
          ...cells(one, bill.total_millionths, all[0].sum_millionths, say),
        ],
      })),
      { class: 'paid' },
    ),
    all.length > FIRST && h('p', { class: 'note' }, `${all.length - FIRST} tenants more pay less.`),
    sums.has(null) &&
      h(
        'p',
        { class: 'note' },
        'The tenant is - where nobody says whose an app was, such as one that was removed.',
      ),
  ];
}

export function hosts({ hosts: all, total_millionths: total }, say) {
  const partly = all.filter((host) => host.known_seconds < host.seconds);
  const sum = sumOf(all, 'cost_millionths');
  return [
    h('h2', {}, 'What the hosts cost'),
    table(
      'Hosts and what they cost',
      [['Host'], ['An hour', 'number'], ['Hours', 'number'], ['Known', 'number'], ['Cost', 'number']],
      all.map((host) => ({
        key: host.host,
        cells: [
          visible(host.host),
          hourly(host.hourly_millionths),
          hours(host.seconds),
          hours(host.known_seconds),
          say(host.cost_millionths),
        ],
      })),
      { class: 'paid' },
      [{ key: 'total', cells: ['Total', '', '', '', say(sum)] }],
    ),
    h(
      'p',
      { class: sum === total ? 'note' : 'warning' },
      sum === total
        ? 'Each table sums to the same total, to the last digit that is shown.'
        : `The hosts sum to ${say(sum)}, and what is paid to ${say(total)}.`,
    ),
    partly.length > 0 &&
      h(
        'p',
        { class: 'warning' },
        `Not all is known of ${partly.map(({ host }) => visible(host)).join(', ')}: in the other hours nobody knows what apps did there, such as before it was started, so what these cost is shared by none.`,
      ),
  ];
}

export function sortBy(key) {
  Object.assign(chosen, turned(chosen, key, key === 'app' || key === 'tenant'));
}

export function filterBy(text) {
  Object.assign(chosen, { filter: text, rows: FIRST });
}

export const isFiltered = () => chosen.filter !== '';

// More rows, where there are more.
export function showMore() {
  chosen.rows += MORE;
}
