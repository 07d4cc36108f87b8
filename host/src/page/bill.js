// The screen "Bill": what the hosts cost at the price that its reader types, by use, reservation and idle, of each
// tenant and app; and what they would cost without those that could be given back.
// Splits nothing: the host does. The price stays in the address of the page.

import { h } from './dom.js';
import { clock, many, visible } from './format.js';
import { ask } from './host.js';
import { apps, bar, hosts, hourly, money, percent, showMore, sumOf, tenants } from './paid.js';
import { command, facts, table, unanswered } from './parts.js';

export { filterBy, isFiltered, sortBy } from './paid.js';

export const title = () => 'Bill';
// All hosts read the history of all that time for it.
export const every = 60_000;

const DAY = 86_400_000;
const RANGES = {
  '24h': [DAY, 'the last day'],
  '7d': [7 * DAY, 'the last week'],
  '30d': [30 * DAY, 'the last 30 days'],
};
const IDLE = {
  apart: 'stands apart',
  use: 'is shared by what apps pay otherwise',
  even: 'is shared evenly',
};
// What is paid for, in the order of the bars: the key of an app's part, its name, and what that is.
const PARTS = [
  ['use', 'Use', 'apps used it'],
  ['reserved', 'Reserved', 'apps reserved it and did not use it'],
  ['idle', 'Idle', 'no app had it'],
  ['unknown', 'Not known', 'nobody knows what apps did in those hours'],
];

export async function load([price = '', range = '7d', idle = 'apart']) {
  const terms = {
    price,
    range: Object.hasOwn(RANGES, range) ? range : '7d',
    idle: Object.hasOwn(IDLE, idle) ? idle : 'apart',
  };
  if (price === '') return { terms, bill: null, refused: null };
  const since = new Date(Date.now() - RANGES[terms.range][0]).toISOString();
  try {
    const bill = await ask(`/v1/bill?price=${encodeURIComponent(price)}&since=${since}&idle=${terms.idle}`);
    return { terms, bill, refused: null };
  } catch (error) {
    // A price can be mended, and a host that keeps no history says so; anything else is no answer.
    if (error.status !== 400 && error.status !== 404) throw error;
    return { terms, bill: null, refused: error.message };
  }
}

export function show({ terms, bill, refused }) {
  return [
    h('h1', { tabindex: '-1' }, 'Bill'),
    form(terms, refused !== null),
    refused !== null &&
      h('p', { class: 'warning', id: 'refused', role: 'alert' }, `No bill: ${visible(refused)}.`),
    bill && paid(terms, bill),
    !bill &&
      refused === null &&
      h(
        'p',
        {},
        'Hosts know what each app used and reserved, hour by hour, and no price: type what a host costs, and see who pays how much of it.',
      ),
  ];
}

function form({ price, range, idle }, isRefused) {
  const choice = (id, label, options, current) => [
    h('label', { for: id }, label),
    h(
      'select',
      { id, name: id },
      Object.entries(options).map(([value, words]) =>
        h('option', { value, selected: value === current }, words),
      ),
    ),
  ];
  return h(
    'form',
    { id: 'terms', 'data-key': 'terms' },
    h('label', { for: 'price' }, 'A host costs'),
    h('input', {
      id: 'price',
      name: 'price',
      type: 'text',
      required: true,
      autocomplete: 'off',
      spellcheck: 'false',
      placeholder: '0.096/h',
      value: price,
      'aria-invalid': isRefused ? 'true' : null,
      'aria-describedby': isRefused ? 'refused price-note' : 'price-note',
    }),
    choice(
      'range',
      'Time',
      Object.fromEntries(Object.entries(RANGES).map(([key, [, words]]) => [key, words])),
      range,
    ),
    choice('idle', 'What is idle', IDLE, idle),
    h('button', {}, 'Show'),
    h(
      'p',
      { class: 'note', id: 'price-note' },
      'In any currency: ',
      h('code', {}, '0.096/h'),
      ' or ',
      h('code', {}, '70/month'),
      ' for every host; for hosts of different kinds ',
      h('code', {}, 'm6i.large=0.096/h, m6i.xlarge=140/month'),
      ', where a kind is the name of a host or the value of one of its labels. No host keeps it: it is in the address of this page.',
    ),
  );
}

function paid(terms, bill) {
  const total = bill.total_millionths;
  const say = (millionths) => money(millionths, bill.decimals);
  const ofApps = (key) => sumOf(bill.apps, `${key}_millionths`);
  const amounts = {
    use: ofApps('use'),
    reserved: ofApps('reserved'),
    idle: ofApps('idle') + bill.idle_millionths,
    unknown: bill.unknown_millionths,
  };
  const known = total - amounts.unknown;
  const parts = PARTS.map(([key, ...words]) => [key, amounts[key], ...words]);
  return [
    unanswered(bill.sources),
    h(
      'p',
      { class: 'sum' },
      h('strong', {}, say(total)),
      ` for ${many(bill.hosts.length, 'host')} since ${clock(bill.since)}`,
      known > 0 ? `; of what is known, ${percent(amounts.use, known)} was used.` : '.',
    ),
    bar('bar', parts),
    table(
      'What it was paid for, in the order of the bar',
      [['Part'], ['Cost', 'number'], ['Share', 'number'], ['Because', 'text']],
      parts.map(([key, amount, name, meaning]) => ({
        key,
        cells: [
          [h('span', { class: `mark paid-${key}`, 'aria-hidden': 'true' }), ` ${name}`],
          say(amount),
          percent(amount, total),
          key === 'idle' && terms.idle !== 'apart' ? `${meaning}, and apps share it` : meaning,
        ],
      })),
    ),
    back(bill.spare),
    apps(bill, amounts, say),
    tenants(bill, say),
    hosts(bill, say),
  ];
}

// Before and after, as far as the planner knows.
function back({ hosts: spare, hourly_millionths: saved, hourly_of_all_millionths: all }) {
  const head = h('h2', {}, 'What could be given back');
  if (spare === null) {
    return [
      head,
      h(
        'p',
        { class: 'warning' },
        'Which hosts are needed is not known: the host that was asked does not hear of the store.',
      ),
    ];
  }
  if (spare.length === 0) {
    return [head, h('p', {}, `No host could be given back now: all are needed, at ${hourly(all)} an hour.`)];
  }
  return [
    head,
    facts([
      ['Before', `${hourly(all)} an hour for all hosts`],
      [
        'After',
        `${hourly(all - saved)} an hour without ${spare.map((host) => visible(host)).join(', ')}: ${percent(saved, all)} less`,
      ],
    ]),
    command('steerage plan --consolidate', 'only looks, and says what moves'),
  ];
}

export const on = {
  submit(event) {
    if (event.target.id !== 'terms') return false;
    event.preventDefault();
    const { price, range, idle } = Object.fromEntries(new FormData(event.target));
    location.hash = `#/bill/${[price.trim(), range, idle].map(encodeURIComponent).join('/')}`;
    return false;
  },
  click(event) {
    if (event.target.closest('button')?.id !== 'more') return false;
    showMore();
    return true;
  },
};
