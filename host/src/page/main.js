// Leads from screen to screen, asks again while somebody looks, and puts what came in place of what was there.
// Each screen says what it asks for and how it shows it.

import * as app from './app.js';
import * as apps from './apps.js';
import * as bill from './bill.js';
import * as call from './call.js';
import { draw, redraw as redrawCurves } from './curves.js';
import { h, put } from './dom.js';
import { SignInNeeded, hasSession, signIn, signOut } from './host.js';
import * as hosts from './hosts.js';
import { listen } from './keys.js';
import * as now from './now.js';
import { copy } from './parts.js';
import * as past from './past.js';
import * as profile from './profile.js';

const SCREENS = { now, hosts, apps, app, call, profile, bill };
// These are of one thing, which their address names.
const OF_ONE = ['app', 'call', 'profile'];
const main = document.querySelector('#main');
const news = document.querySelector('#news');
const announcer = document.querySelector('#announce');
// The host works for each look, so it rests at least so many times as long as the last one took, up to a bound:
// where something is wrong looks take long, and just then somebody waits for news.
const REST = 10;
const MOST_REST = 15_000;

// What is shown: a screen with its parameters and what came last. Where another look has begun meanwhile, what
// the older one brings is dropped: it may be of another place.
let place = placeOf('now', []);
let timer = null;
let looks = 0;
let said = '';

function read() {
  const [name, ...parameters] = location.hash.replace(/^#\/?/, '').split('/');
  let decoded = [];
  try {
    decoded = parameters.map(decodeURIComponent);
  } catch {
    // A link that somebody broke leads to the first screen.
  }
  const lacks = OF_ONE.includes(name) && !decoded[0];
  return lacks || !Object.hasOwn(SCREENS, name) ? placeOf('now', []) : placeOf(name, decoded);
}

function placeOf(name, parameters) {
  return { screen: SCREENS[name], name, parameters, told: null };
}

function go() {
  const isFirst = main.dataset.name === undefined;
  place = read();
  main.dataset.name = place.name;
  document.title = `${place.screen.title(place.parameters)} - Steerage`;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.screen === place.name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  put(main, [
    h('h1', { tabindex: '-1' }, place.screen.title(place.parameters)),
    h('p', { class: 'note' }, 'Asking the host…'),
  ]);
  scrollTo(0, 0);
  // Who goes to another screen is taken to its heading, which a screen reader then reads.
  if (!isFirst) main.querySelector('h1').focus({ preventScroll: true });
  look();
}

async function look() {
  clearTimeout(timer);
  const here = place;
  looks += 1;
  const mine = looks;
  const began = performance.now();
  try {
    const told = await here.screen.load(here.parameters);
    if (mine !== looks) return;
    here.told = told;
    render();
    tell('');
    announce(here.screen.announce?.(told) ?? '');
  } catch (error) {
    if (mine !== looks) return;
    if (error instanceof SignInNeeded) return askForToken(error.message);
    failed(here, error);
  }
  const took = performance.now() - began;
  const rest = Math.max(here.screen.every, Math.min(MOST_REST, REST * took));
  if (!document.hidden) timer = setTimeout(look, rest);
}

// What was shown stays, and it is said that it is old. Nothing is shown of which nobody knows whether it is so.
function failed(here, error) {
  console.debug(error);
  const why = error.message;
  if (here.told) tell(`${why}; what is shown is from before`);
  else {
    put(main, [
      h('h1', { tabindex: '-1' }, here.screen.title(here.parameters)),
      h('p', { class: 'warning' }, `Nothing can be shown: ${why}.`),
    ]);
    tell(why);
  }
}

function tell(text) {
  if (news.textContent !== text) news.textContent = text;
  announce(text);
}

// Only what changed is read out.
function announce(text) {
  if (text && text !== said) announcer.textContent = text;
  if (text) said = text;
}

function render() {
  document.querySelector('#sign-out').hidden = !hasSession();
  const shown = [place.screen.show(place.told)].flat(Infinity).filter((part) => part instanceof Node);
  put(main, shown);
  draw();
}

function askForToken(why) {
  document.querySelector('#sign-out').hidden = true;
  place.told = null;
  put(main, [
    h('h1', { tabindex: '-1' }, 'Sign in'),
    h(
      'form',
      { id: 'sign-in', autocomplete: 'on' },
      h(
        'p',
        {},
        h('label', { for: 'token' }, 'The token of this host'),
        ' ',
        h('input', {
          id: 'token',
          type: 'password',
          autocomplete: 'current-password',
          required: true,
          'aria-describedby': 'token-note',
        }),
        ' ',
        h('button', {}, 'Sign in'),
      ),
      h(
        'p',
        { id: 'token-note', class: 'note' },
        'It is in the file that the host was started with: --token-file.',
      ),
    ),
  ]);
  tell(hasSession() || said !== '' ? why : '');
  document.querySelector('#token').focus();
}

document.addEventListener('submit', async (event) => {
  if (event.target.id !== 'sign-in') return;
  event.preventDefault();
  const field = document.querySelector('#token');
  try {
    await signIn(field.value);
    tell('');
    go();
  } catch (error) {
    field.select();
    tell(error.message);
  }
});

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.id === 'sign-out') {
    clearTimeout(timer);
    looks += 1;
    await signOut().catch(() => {});
    askForToken('');
  } else if (button.dataset.copy !== undefined) {
    const isDone = await copy(button);
    announce(isDone ? 'Copied' : 'Selected: copy it by the keyboard');
  } else if (button.dataset.sort) {
    place.screen.sortBy(button.dataset.sort);
    render();
  } else if (button.dataset.range) {
    past.choose(button.dataset.range);
    look();
  }
});

document.addEventListener('input', (event) => {
  if (event.target.id !== 'filter') return;
  place.screen.filterBy(event.target.value);
  document.querySelector('#rows')?.scrollTo(0, 0);
  render();
});

// What a screen does by itself about what its reader does; where it says that this changes what is shown, that is
// shown anew.
for (const kind of ['click', 'keydown', 'pointerover', 'focusin', 'submit']) {
  main.addEventListener(kind, (event) => {
    if (place.told && place.screen.on?.[kind]?.(event, place.told)) render();
  });
}

// Rows that come into view are made then.
let isDue = false;
main.addEventListener(
  'scroll',
  (event) => {
    if (isDue || !event.target.hasAttribute?.('data-redraw')) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      if (place.told && place.screen === apps) render();
    });
  },
  true,
);

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (!document.hidden) look();
});
addEventListener('resize', () => place.told && render());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawCurves);
addEventListener('hashchange', go);
listen({
  goUp() {
    if (place.told && place.screen.back?.()) return render();
    const above = place.screen.above;
    if (above) location.hash = typeof above === 'function' ? above(place.told ?? {}) : above;
  },
  filter() {
    const focus = () => document.querySelector('#filter')?.focus();
    const isThere = document.querySelector('#filter') !== null;
    if (!isThere && place.screen !== apps) location.hash = '#/apps';
    // The screen may have to be asked for first.
    if (isThere) focus();
    else
      new MutationObserver((changes, observer) => {
        if (!document.querySelector('#filter')) return;
        observer.disconnect();
        focus();
      }).observe(main, { childList: true, subtree: true });
  },
  clearFilter() {
    const field = document.querySelector('#filter');
    if (!field || !place.screen.isFiltered()) return false;
    field.value = '';
    place.screen.filterBy('');
    render();
    return true;
  },
});
go();
