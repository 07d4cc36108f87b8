// Each screen of the page in a real browser: what it shows, that it keeps its place, that keys lead everywhere, that
// axe finds nothing, that nothing is asked of anybody else and that no text of a guest becomes HTML.
// Starts no host: `host/tests/it/page.rs` does, and tells where it is in STEERAGE_PAGE_TEST, as JSON:
//   open      a host without a token, with an app `web` that fails, `slow` that asks another server, `loud` that
//             prints, and `busy`, whose first deployment mostly sorts and whose second mostly hashes
//   closed    a host with a token
//   token     that token
//   call      the id of a call of `slow`
//   profile   what `steerage profile busy --diff 1` prints
//   tools     the folder with the packages of npm
//   browser   the program of the browser
//   pictures  a folder for the screenshots

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const told = JSON.parse(process.env.STEERAGE_PAGE_TEST);
const require = createRequire(join(told.tools, '/'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

// What the command line says as well: a test of cli/human.rs compares it with the same file.
const WORDS = JSON.parse(readFileSync(new URL('words.json', import.meta.url), 'utf8'));

// Only a test that fails waits so long.
const PATIENCE = 60_000;
// What is asked of ten thousand apps.
const MOST_MS = 1000;
// A text that would run, were it ever read as HTML, and turns around what is beside it.
const HOSTILE = '<img src=x onerror="window.wasRun=1"><script>window.wasRun=1</script>\u202e\u0007';

let browser;
before(async () => {
  mkdirSync(told.pictures, { recursive: true });
  browser = await chromium.launch({
    executablePath: told.browser,
    args: ['--headless=new', '--no-sandbox', '--disable-gpu'],
  });
});
after(() => browser?.close());

// A page that fails its test on any error, on what its policy refuses, on a request to anybody else and on one that
// may change something: only signing in and out does.
async function open(context, base, expected) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const wrong = [];
  // What the browser itself says of a refusal that the test is about is no mistake of the page.
  page.on(
    'console',
    (message) => message.type() === 'error' && !expected?.test(message.text()) && wrong.push(message.text()),
  );
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => {
    const { origin, pathname, protocol } = new URL(request.url());
    if (origin !== new URL(base).origin && protocol !== 'data:') wrong.push(`a request to ${request.url()}`);
    if (request.method() !== 'GET' && pathname !== '/v1/session')
      wrong.push(`a request that may change something: ${request.method()} ${request.url()}`);
  });
  await page.addInitScript(() => {
    globalThis.refusedByPolicy = [];
    addEventListener('securitypolicyviolation', (event) =>
      globalThis.refusedByPolicy.push(`${event.violatedDirective}: ${event.blockedURI}`),
    );
  });
  const check = async () => {
    assert.deepEqual(await page.evaluate(() => globalThis.refusedByPolicy), []);
    assert.equal(await page.evaluate(() => globalThis.wasRun), undefined, 'a text of a guest was run');
    assert.deepEqual(wrong, []);
  };
  return { page, check };
}

async function screen(name, base, hash, run, options = {}) {
  const context = await browser.newContext({ viewport: options.viewport ?? { width: 1280, height: 800 } });
  try {
    const { page, check } = await open(context, base, options.expected);
    await options.prepare?.(page);
    await page.goto(`${base}/${hash}`);
    await run(page, context);
    await check();
    await page.screenshot({ path: join(told.pictures, `${name}.png`), fullPage: true });
  } finally {
    await context.close();
  }
}

async function axe(page) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(AXE);
    const { violations, passes } = await page.evaluate(() =>
      globalThis.axe.run(document, { resultTypes: ['violations'] }),
    );
    const found = violations.map(
      ({ id, nodes }) =>
        `${colorScheme} ${id}: ${nodes
          .map((node) => node.html)
          .slice(0, 3)
          .join(' | ')}`,
    );
    assert.deepEqual(found, []);
    assert.ok(passes.length > 10, 'axe looked at nothing');
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

const text = (page, selector = 'main') => page.locator(selector).innerText();

test('now: a problem with its claim, evidence, remedy and a command that can be copied', () =>
  screen('now', told.open, '', async (page, context) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.waitForSelector('.problem');
    const said = await text(page);
    for (const part of [
      'web fails',
      'of generation 1 none of the last',
      'go back to generation 1',
      'steerage rollback web --to 1',
      'changes something',
    ]) {
      assert.ok(said.includes(part), `${part} is not in ${said}`);
    }
    const ours = '.problem[data-key^="failing web"] [data-copy]';
    await page.click(ours);
    await page.waitForFunction((ours) => document.querySelector(`${ours} span`).textContent === 'Copied', ours);
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'steerage rollback web --to 1');
    assert.equal(await text(page, '#announce'), 'Copied');
    await axe(page);
  }));

test('now: all is well in one line, and who was not asked is named', async () => {
  const problems = (body) => (page) => page.route('**/v1/problems?*', (route) => route.fulfill({ json: body }));
  await screen(
    'now-well',
    told.open,
    '',
    async (page) => {
      await page.waitForSelector('.well');
      assert.equal((await text(page)).replace(/\s+/g, ' '), 'Now All is well.');
      await axe(page);
    },
    { prepare: problems({ problems: [] }) },
  );
  const silent = { hosts: ['ada'], unanswered: [{ host: 'bob', why: 'it is silent' }] };
  const unmeasured = {
    kind: 'failing',
    state: 'unmeasured',
    app: 'old',
    hosts: [],
    failed: 3,
    answered: 0,
    claim: 'old fails: 3 of 3 calls',
    evidence: [],
    symptoms: [],
    since: '2026-11-25T10:00:00.000Z',
    last_at: '2026-11-25T10:05:00.000Z',
  };
  await screen(
    'now-unsure',
    told.open,
    '',
    async (page) => {
      await page.waitForSelector('.problem');
      const said = await text(page);
      for (const part of [
        'bob (it is silent)',
        'No problem on the hosts that answered',
        'Not known to be over',
        'old fails',
        'whether it is over is not known',
      ]) {
        assert.ok(said.includes(part), `${part} is not in ${said}`);
      }
      assert.ok(!said.includes('All is well'), said);
      await axe(page);
    },
    { prepare: problems({ problems: [unmeasured], sources: silent }) },
  );
});

test('hosts: a row for each, with what is used of it, and what is lost', async () => {
  await screen('hosts', told.open, '#/hosts', async (page) => {
    await page.waitForSelector('tbody tr');
    assert.match(await text(page), /1 of 1 there/);
    assert.match(await text(page, 'main tbody'), /answers/);
    await axe(page);
  });
  const host = (name, more) => ({
    host: name,
    zone: 'a',
    labels: {},
    listen: '10.0.0.1:8080',
    address: '10.0.0.1:8082',
    admin: null,
    standing: 'open',
    state: 'answers',
    why: null,
    lost_seconds: null,
    replicas: 4,
    ready: 4,
    cpu_millicores: 8000,
    cpu_used_millicores: 1500,
    memory_bytes: 16 << 20,
    memory_used_bytes: 15 << 20,
    clock_ahead_seconds: 0,
    version: '0.1.0',
    certificate: { authority: 'aa', days_left: 80, believes: [] },
    ...more,
  });
  const fleet = {
    asked: 'ada',
    store_answers: false,
    store_silent_seconds: 75,
    trouble: null,
    frozen: { seconds: 600, why: HOSTILE },
    hosts: [
      host('ada'),
      host('bob', { state: 'silent', why: 'it refuses connections' }),
      host('eve', { state: 'lost', lost_seconds: 90 }),
    ],
  };
  await screen(
    'hosts-fleet',
    told.open,
    '#/hosts',
    async (page) => {
      await page.waitForSelector('tbody tr:nth-child(3)');
      const said = await text(page);
      for (const part of [
        'ada does not hear of the store, for 1m15s',
        '2 of 3 there',
        '3 of 16 cores',
        'it refuses connections',
        'lost 1m30s ago',
        '80 days left',
        'Nothing is planned',
      ]) {
        assert.ok(said.includes(part), `${part} is not in ${said}`);
      }
      await axe(page);
    },
    { prepare: (page) => page.route('**/v1/hosts', (route) => route.fulfill({ json: fleet })) },
  );
});

const summary = (place, more) => ({
  app: `app-${String(place).padStart(5, '0')}`,
  generation: 3,
  version: '1.2.3',
  kind: 'http-0.2',
  component: `sha256:${'0'.repeat(64)}`,
  size_bytes: 80_000,
  deployed_at: '2026-11-25T10:00:00.000Z',
  routes: [`/app-${place}/...`],
  calls: place * 7,
  failed: place % 50 === 0 ? place : 0,
  errors: 0,
  refused: 0,
  latency: {
    p50_us: 900,
    p95_us: 4000,
    p99_us: place * 3,
    counts: [1, 5, place, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  },
  running: 0,
  waiting: 0,
  fuel: 5000,
  cpu_seconds: place / 100,
  memory_peak_bytes: 3 << 20,
  ...more,
});

test('apps: ten thousand in less than a second, sorted, filtered and walked through by keys', async (t) => {
  // The answer comes from within the browser: what is measured is the page, and not how a test hands answers over.
  // Each time all were called again.
  const many = async (page) => {
    const apps = Array.from({ length: 10_000 }, (_, place) => summary(place));
    await page.addInitScript((apps) => {
      const real = globalThis.fetch;
      globalThis.asked = 0;
      globalThis.sorted = 0;
      const sort = Array.prototype.sort;
      Array.prototype.sort = function (...how) {
        if (this.length === apps.length) globalThis.sorted += 1;
        return sort.apply(this, how);
      };
      globalThis.fetch = (path, how) => {
        if (!path.startsWith('/v1/apps?')) return real(path, how);
        globalThis.asked += 1;
        for (const app of apps) app.calls += 100;
        return Promise.resolve(new Response(JSON.stringify({ apps })));
      };
    }, apps);
  };
  await screen(
    'apps-many',
    told.open,
    '#/hosts',
    async (page) => {
      await page.waitForSelector('tbody tr');
      const took = [];
      // The machine may be busy with other tests; what the page can do is what it did once.
      for (let round = 0; round < 20 && !took.slice(4).some((ms) => ms < MOST_MS); round += 1) {
        took.push(
          await page.evaluate(async () => {
            const from = performance.now();
            location.hash = '#/apps';
            const isThere = () =>
              document.querySelector('#found')?.textContent === '10,000 apps' &&
              document.querySelectorAll('#rows tbody tr').length > 20;
            await new Promise((done) => {
              const look = () =>
                isThere()
                  ? requestAnimationFrame(() => requestAnimationFrame(done))
                  : requestAnimationFrame(look);
              look();
            });
            const time = performance.now() - from;
            location.hash = '#/now';
            return time;
          }),
        );
        await page.waitForSelector('.problem');
      }
      const least = Math.min(...took);
      t.diagnostic(`10,000 apps from the click to the pixels: ${took.map(Math.round).join(', ')} ms`);
      assert.ok(least < MOST_MS, `${took} ms`);

      await page.evaluate(() => {
        location.hash = '#/apps';
      });
      await page.waitForSelector('#rows');
      const rows = await page.locator('#rows tbody tr').count();
      assert.ok(rows > 20 && rows < 120, `${rows} rows exist`);
      await page.click('[data-sort=failed]');
      const first = () => page.locator('#rows tbody tr[data-key]').first().getAttribute('data-key');
      assert.equal(await first(), 'app-09950');
      assert.equal(
        await page
          .locator('th[aria-sort=descending]')
          .innerText()
          .then((name) => name.trim().slice(0, 6)),
        'Failed',
      );

      // Rows that come into view are of the list that is there: it is sorted again for what was asked, not for a
      // scroll. One more answer may be on its way.
      const counted = () => page.evaluate(() => [globalThis.sorted, globalThis.asked]);
      const [sortedBefore, askedBefore] = await counted();
      for (let row = 200; row <= 4000; row += 200) {
        await page.evaluate((row) => document.querySelector('#rows').scrollTo(0, 28 * row), row);
        await page.waitForFunction((row) => document.querySelector(`tr[aria-rowindex="${row + 2}"]`), row);
      }
      const [sortedAfter, askedAfter] = await counted();
      const [sorted, asked] = [sortedAfter - sortedBefore, askedAfter - askedBefore];
      assert.ok(sorted <= asked + 1, `sorted ${sorted} times for ${asked} answers`);

      // Far below the first rows, the place and the focus stay while others come.
      await page.click('[data-sort=app]');
      await page.evaluate(() => document.querySelector('#rows').scrollTo(0, 28 * 5000));
      await page.waitForSelector('tr[data-key=app-05000]');
      await page.focus('tr[data-key=app-05000] a');
      const seen = await page.evaluate(() => globalThis.asked);
      await page.waitForFunction((seen) => globalThis.asked > seen, seen);
      await page.waitForFunction(() =>
        [...document.querySelectorAll('tr[data-key] td:nth-child(2)')].some((cell) => cell.textContent !== ''),
      );
      const focused = () => page.evaluate(() => document.activeElement.closest('tr')?.dataset.key);
      assert.equal(await focused(), 'app-05000');
      assert.ok(await page.evaluate(() => document.querySelector('#rows').scrollTop > 28 * 4900));
      await page.keyboard.press('j');
      assert.equal(await focused(), 'app-05001');
      for (let row = 0; row < 100; row += 1) {
        await page.keyboard.press('j');
        await page.waitForSelector(`tr[data-key=app-0${5003 + row}]`);
      }
      assert.equal(await focused(), 'app-05101');
      await page.keyboard.press('k');
      assert.equal(await focused(), 'app-05100');

      await page.keyboard.press('/');
      await page.keyboard.type('app-0123');
      await page.waitForFunction(() => document.querySelector('#found').textContent.startsWith('10 of'));
      await axe(page);
      await page.keyboard.press('Escape');
      await page.waitForFunction(() => document.querySelector('#found').textContent === '10,000 apps');
    },
    { prepare: many },
  );
});

test('keys lead everywhere and help is a dialog', () =>
  screen('help', told.open, '', async (page) => {
    await page.waitForSelector('.problem');
    await page.keyboard.press('2');
    await page.waitForSelector('tbody tr');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Hosts');
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement.id === 'filter');
    await page.keyboard.type('we');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'web');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.hash === '#/app/web' && document.title.startsWith('web'));
    await page.waitForSelector('.facts');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => location.hash === '#/apps');
    await page.waitForSelector('#filter');
    // What was chosen is there again, and goes with one more key.
    assert.equal(await page.inputValue('#filter'), 'we');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelector('#filter').value === '');
    await page.keyboard.press('1');
    await page.waitForSelector('.problem');
    await page.keyboard.press('j');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'web');
    await page.keyboard.press('?');
    await page.waitForSelector('#help[open]');
    await axe(page);
    await page.screenshot({ path: join(told.pictures, 'help-open.png') });
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('#help').open);
  }));

test('app: what show tells, curves with a table beside them', () =>
  screen('app', told.open, '#/app/slow', async (page) => {
    await page.waitForSelector('.plot canvas');
    const said = await text(page);
    for (const part of [
      'generation 1',
      'Limits',
      '128MiB',
      'Whom it asked',
      '127.0.0.1',
      'Deployments',
      'Last calls',
      'Its manifest',
      'Calls of each minute',
    ]) {
      assert.ok(said.includes(part), `${part} is not in ${said}`);
    }
    assert.equal(await page.locator('.plot canvas').count(), 4);
    await page.click('summary:has-text("The same as a table")');
    await page.waitForSelector('details[open] tbody tr');
    // A fold that was opened stays so, and the other ranges are there.
    await page.click('[data-range="24h"]');
    await page.waitForSelector('[data-range="24h"][aria-pressed=true]');
    await page.waitForSelector('details[open] tbody tr');
    await axe(page);
  }));

test('a call failed if the host says so, whatever its status and its end', async () => {
  const ends = [
    ['answered', 200, false],
    ['app_busy', 429, true],
    ['upgrade_unsupported', 501, false],
    ['client_gone', 500, false],
    ['trapped', 200, true],
  ];
  const calls = ends.map(([cause, status, failed], place) => ({
    id: String(place).repeat(32),
    app: 'slow',
    at: '2026-11-25T10:00:00.000Z',
    generation: 1,
    method: 'GET',
    path: '/slow',
    status,
    cause,
    failed,
    duration_us: 1000,
    time_us: { guest: 1000 },
    fuel: 1,
    memory_bytes: 1,
    cpu_us: 1,
    instantiate_us: 0,
    request_bytes: 0,
    response_bytes: 1,
  }));
  await screen(
    'app-failed',
    told.open,
    '#/app/slow',
    async (page) => {
      for (const [place, [cause, , failed]] of ends.entries()) {
        const row = page.locator(`tr[data-key="${calls[place].id}"]`);
        assert.equal(await row.getAttribute('class'), failed ? 'failed' : null, cause);
      }
    },
    { prepare: (page) => page.route('**/v1/apps/slow/calls?*', (route) => route.fulfill({ json: { calls } })) },
  );
  for (const call of calls) {
    await screen(
      'call-failed',
      told.open,
      `#/call/${call.id}`,
      async (page) => {
        const state = page.locator('.facts .state');
        assert.equal(await state.getAttribute('class'), call.failed ? 'state bad' : 'state good', call.cause);
      },
      { prepare: (page) => page.route('**/v1/calls/*', (route) => route.fulfill({ json: { calls: [call] } })) },
    );
  }
});

test('sizes, counts, durations, ages and what cannot be seen are in the words of the command line', () =>
  screen('words', told.open, '', async (page) => {
    const said = await page.evaluate(async (words) => {
      const format = await import('/page/format.js');
      const say = (kind, [value]) => [value, format[kind](value, true)];
      return Object.fromEntries(
        Object.entries(words).map(([kind, list]) => [kind, list.map((pair) => say(kind, pair))]),
      );
    }, WORDS);
    assert.deepEqual(said, WORDS);
    // Where lines do not stay, their ends can be seen.
    const line = await page.evaluate(async () => (await import('/page/format.js')).visible('a\nb\tc'));
    assert.equal(line, 'a\\u{a}b\tc');
  }));

test('app: an app that there is not is an honest sentence', () =>
  screen(
    'app-none',
    told.open,
    '#/app/nobody',
    async (page) => {
      await page.waitForSelector('main .warning');
      assert.match(await text(page), /Nothing can be shown: .*nobody/);
      await axe(page);
    },
    { expected: /status of 404/ },
  ));

test('call: a bar of its phases with a table, what it used and whom it asked', () =>
  screen('call', told.open, `#/call/${told.call}`, async (page) => {
    await page.waitForSelector('.bar');
    const said = await text(page);
    for (const part of [
      'outbound',
      'waited for an outbound request',
      'fuel',
      'of memory',
      'and waited',
      'To make it shorter',
      told.call,
    ]) {
      assert.ok(said.includes(part), `${part} is not in ${said}`);
    }
    const widths = await page.evaluate(() =>
      [...document.querySelectorAll('.bar span')].map((part) => [part.className, part.clientWidth]),
    );
    const widest = widths.reduce((most, part) => (part[1] > most[1] ? part : most));
    assert.equal(widest[0], 'phase-outbound', JSON.stringify(widths));
    await axe(page);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => location.hash === '#/app/slow');
    await page.goBack();
    await page.waitForSelector('.bar');
  }));

const active = (page) => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
const share = (label) => Number(/, ([\d.]+)% with what it called/.exec(label)[1]);

test('profile: a flame graph by pointer and keys, a search, and a table that sorts', () =>
  screen('profile', told.open, '#/app/busy', async (page) => {
    await page.click('.facts a:has-text("its profile")');
    await page.waitForFunction(() => location.hash === '#/profile/busy');
    await page.waitForSelector('.frame');
    const said = await text(page);
    for (const part of [
      'Profile of busy',
      'samples of generation 2',
      'By chance a share may be off by',
      'steerage profile busy --generation 2',
    ]) {
      assert.ok(said.includes(part), `${part} is not in ${said}`);
    }
    await axe(page);

    // Each box is as wide as its share, and below the one that called it.
    const frame = (name) => page.locator(`.frame[aria-label^="${name}"]`);
    const box = (name) => frame(name).boundingBox();
    const [all, work, sorts, hashes] = [
      await box('all'),
      await box('work'),
      await box('sorts'),
      await box('hashes'),
    ];
    const ofHashes = share(await frame('hashes').getAttribute('aria-label'));
    assert.ok(ofHashes > 50 && ofHashes < 95, `${ofHashes}`);
    assert.ok(Math.abs(hashes.width / all.width - ofHashes / 100) < 0.01, `${hashes.width} of ${all.width}`);
    assert.ok(hashes.width > sorts.width, 'the second deployment mostly hashes');
    assert.ok(hashes.y > work.y && work.y > all.y && hashes.y === sorts.y);
    await frame('sorts').hover();
    assert.match(await text(page, '#frame-line'), /^sorts: [\d.]+% by itself, .* samples$/);

    // One stop of the Tab key; arrows lead to children, parents and what is beside.
    await page.focus('#zoom-out');
    await page.keyboard.press('Tab');
    assert.match(await active(page), /^all: all that was sampled/);
    const goes = async (key, name) => {
      await page.keyboard.press(key);
      assert.match(await active(page), new RegExp(`^${name}:`), key);
      assert.equal(await text(page, '#frame-line'), await active(page));
      assert.equal(await page.locator('.frame[tabindex="0"]').count(), 1);
    };
    await goes('ArrowDown', '_start');
    await goes('ArrowDown', 'work');
    await goes('ArrowDown', 'hashes');
    await goes('ArrowRight', 'sorts');
    await goes('ArrowLeft', 'hashes');
    await goes('ArrowUp', 'work');
    await goes('ArrowDown', 'hashes');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.frame[aria-selected=true][aria-label^=hashes]');
    assert.ok(Math.abs((await box('hashes')).width - all.width) < 1, 'it fills the width');
    assert.equal(await frame('sorts').count(), 0);
    await page.screenshot({ path: join(told.pictures, 'profile-zoomed.png'), fullPage: true });
    // What comes meanwhile moves nobody.
    const again = page.waitForResponse(/\/profile/);
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await again;
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
    assert.match(await active(page), /^hashes:/);
    assert.ok(Math.abs((await box('hashes')).width - all.width) < 1, 'it still fills the width');
    await page.keyboard.press('Escape');
    await frame('sorts').waitFor();
    assert.match(await active(page), /^hashes:/);
    await frame('work').click();
    await page.waitForSelector('.frame[aria-selected=true][aria-label^=work]');
    await page.click('#zoom-out');
    await page.waitForSelector('#zoom-out[aria-disabled=true]');

    await page.keyboard.press('/');
    await page.keyboard.type('HASH');
    await page.waitForSelector('.flame.searched');
    assert.match(
      await text(page, '#found'),
      new RegExp(`^1 function matches, and ran in [${'\\d.'}]+% of the samples$`),
    );
    assert.deepEqual(await page.locator('.frame.hit').allInnerTexts(), ['hashes']);
    assert.equal(await page.locator('main tbody tr').count(), 1);
    await axe(page);
    await page.screenshot({ path: join(told.pictures, 'profile-searched.png'), fullPage: true });
    await page.keyboard.press('Enter');
    assert.match(await active(page), /^hashes:/);
    await page.keyboard.press('Escape');
    await page.waitForSelector('.flame:not(.searched)');

    const rows = () => page.locator('main tbody th').allInnerTexts();
    assert.equal((await rows())[0], 'hashes');
    await page.click('[data-sort=name]');
    await page.waitForSelector('th[aria-sort=ascending]');
    const names = await rows();
    assert.deepEqual(names, names.toSorted());
    await page.click('[data-sort=total]');
    await page.waitForSelector('th[aria-sort=descending] [data-sort=total]');
    assert.notEqual((await rows())[0], 'hashes');
    await page.click('[data-find=sorts]');
    await page.waitForSelector('.frame.hit');
    assert.equal(await page.inputValue('#filter'), 'sorts');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => location.hash === '#/app/busy');
    await page.goBack();
    await page.waitForSelector('.frame');
  }));

test('profile: what changed since an earlier deployment, in words and signs', () =>
  screen('profile-compared', told.open, '#/profile/busy', async (page) => {
    await page.click('[role=group] a:text-is("1") >> nth=1');
    await page.waitForFunction(() => location.hash === '#/profile/busy/2/1');
    await page.waitForSelector('.legend');
    const lines = await page.locator('.evidence li').allInnerTexts();
    for (const [name, word] of [
      ['hashes', 'more'],
      ['sorts', 'less'],
    ]) {
      const line = lines.find((line) => line.startsWith(`${name} takes `));
      assert.ok(line?.includes(` points ${word}: `), lines.join());
    }
    const frame = (name) => page.locator(`.frame[aria-label^="${name}"]`);
    assert.match(await frame('hashes').innerText(), /^hashes ▲ \+\d+\.\d$/);
    assert.match(await frame('sorts').innerText(), /^sorts ▼ −\d+\.\d$/);
    assert.match(await frame('hashes').getAttribute('class'), /more-3/);
    assert.match(await frame('sorts').getAttribute('class'), /less-3/);
    assert.match(await frame('hashes').getAttribute('aria-label'), /points against generation 1$/);
    assert.match(await frame('work').getAttribute('class'), /even/);
    const [first] = await page.locator('main tbody tr').allInnerTexts();
    assert.match(first, /^(hashes|sorts)\s.*[+−]\d/);
    assert.ok((await text(page)).includes('steerage profile busy --generation 2 --diff 1'));
    // The parts are those of the command line, to the last digit, which each rounds in its own way.
    const line = /^\s*([\d.]+)%\s+([+-][\d.]+)\s+([\d.]+)%\s+([+-][\d.]+)\s+(\S+)$/;
    const expected = told.profile
      .split('\n')
      .map((text) => line.exec(text))
      .filter(Boolean);
    assert.ok(expected.length >= 4, told.profile);
    assert.equal(await page.locator('main tbody tr').count(), expected.length, told.profile);
    for (const [, ...numbers] of expected) {
      const name = numbers.pop();
      const cells = await page.locator(`tr[data-key="${name}"] td`).allInnerTexts();
      const said = cells.slice(0, 4).map((cell) => parseFloat(cell.replace('−', '-')));
      for (const [place, number] of numbers.entries())
        assert.ok(Math.abs(said[place] - Number(number)) < 0.11, `${name}: ${cells} and ${numbers}`);
    }
    await axe(page);
  }));

test('profile: of very many boxes the widest are drawn, and others where one zooms in', async () => {
  // As many stacks as a host keeps, as deep as it looks.
  const names = Array.from({ length: 1000 }, (_, place) => `function_${place}`);
  const stack = (place) => ({
    functions: Array.from({ length: 64 }, (_, depth) =>
      depth < 20 ? depth : (17 * place + 31 * depth) % 1000,
    ),
    samples: 1 + (place % 20),
  });
  const stacks = Array.from({ length: 500 }, (_, place) => stack(place));
  const samples = stacks.reduce((all, one) => all + one.samples, 0);
  const at = '2026-11-25T10:00:00.000Z';
  const deployment = { generation: 1, since: at, until: at, samples, left_out: 0, functions: names, stacks };
  const json = { per_second: 19, deployments: [deployment], lost: 0 };
  await screen(
    'profile-many',
    told.open,
    '#/profile/busy',
    async (page) => {
      await page.waitForSelector('.frame');
      const count = () => page.locator('.frame').count();
      assert.ok((await count()) > 20 && (await count()) <= 2001, `${await count()} boxes`);
      assert.match(await text(page), /Not drawn: \d+ boxes that are narrower than/);
      await page.locator('.frame[aria-level="22"]').first().click();
      await page.waitForSelector('.frame[aria-level="22"][aria-selected=true]');
      assert.equal(await page.locator('.frame[aria-level="65"]').count(), 1, 'to the innermost function');
      await page.click('#whole');
      await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length > 900);
    },
    { prepare: (page) => page.route('**/v1/apps/busy/profile?*', (route) => route.fulfill({ json })) },
  );
});

test('profile: where there is none it says why, and what to do', async () => {
  const none = { per_second: 19, deployments: [], lost: 0 };
  const silent = { hosts: ['ada'], unanswered: [{ host: 'bob', why: 'it is silent' }] };
  for (const [name, hash, json, parts] of [
    [
      'none',
      '#/profile/busy',
      none,
      ['no samples of busy yet', 'sampled 19 times for each second', 'Call it more'],
    ],
    ['off', '#/profile/busy', { ...none, per_second: 0 }, ['--profile-frequency 0']],
    [
      'silent',
      '#/profile/busy',
      { ...none, lost: 2, sources: silent },
      ['bob (it is silent)', '2 samples of all apps were lost'],
    ],
    ['missing', '#/profile/busy/7', null, ['no profile of generation 7: there is one of 1 and 2']],
  ]) {
    await screen(
      `profile-${name}`,
      told.open,
      hash,
      async (page) => {
        await page.waitForFunction(() => document.querySelectorAll('main > p').length > 1);
        const said = await text(page);
        for (const part of parts) assert.ok(said.includes(part), `${part} is not in ${said}`);
        await axe(page);
      },
      {
        prepare: (page) => json && page.route('**/v1/apps/busy/profile?*', (route) => route.fulfill({ json })),
      },
    );
  }
});

// A text like 12.3400 in its smallest units.
const units = (text) => BigInt(text.replace('.', ''));
const sum = (list) => list.reduce((all, one) => all + one, 0n);
const cells = (page, selector) => page.locator(selector).allInnerTexts();

test('bill: a price is typed, and each app and host has its part of what that makes', () =>
  screen('bill', told.open, '', async (page) => {
    await page.waitForSelector('.problem');
    await page.keyboard.press('4');
    await page.waitForSelector('#price');
    await axe(page);
    await page.screenshot({ path: join(told.pictures, 'bill-asked.png') });
    await page.focus('#price');
    // So much that the moments that a test takes cost something.
    await page.keyboard.type(' 1000000/h');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.hash === '#/bill/1000000%2Fh/7d/apart');
    await page.waitForSelector('.bar');
    const said = await text(page);
    for (const part of ['for 1 host since', 'apps used it', 'busy', 'No host could be given back now']) {
      assert.ok(said.includes(part), `${part} is not in ${said}`);
    }
    await axe(page);

    // Each table sums to what the hosts cost, to the last digit.
    const column = (table, at, rest = '') =>
      cells(page, `main table >> nth=${table} >> ${rest}td:nth-child(${at})`);
    const checkSums = async () => {
      const total = units(await text(page, '.sum strong'));
      const lists = {
        parts: await column(0, 2),
        apps: await column(1, 6, 'tr:not([data-key=total]) > '),
        hosts: await column(2, 5, 'tbody '),
      };
      for (const [name, list] of Object.entries(lists)) {
        assert.ok(list.length > 0, name);
        assert.equal(sum(list.map(units)), total, `${name}: ${list}`);
      }
      assert.deepEqual((await column(1, 6, 'tr[data-key=total] > ')).map(units), [total]);
      return total;
    };
    assert.ok((await checkSums()) > 0n);
    const widths = await page.evaluate(() => {
      const bar = document.querySelector('.bar');
      return [...bar.children].map((part) => [part.className, part.clientWidth / bar.clientWidth]);
    });
    // As wide as their shares, but for what is too little to be seen.
    const shares = await column(0, 3);
    for (const [place, part] of ['use', 'reserved', 'idle', 'unknown'].entries()) {
      const [, drawn] = widths.find(([kind]) => kind === `paid-${part}`) ?? [part, 0];
      const percent = shares[place] === '<0.1%' ? 0 : parseFloat(shares[place]);
      assert.ok(Math.abs(100 * drawn - percent) < 2, `${part}: ${drawn} and ${shares[place]}`);
    }

    // Each row leads to its app, and back again the price is still there.
    await page.keyboard.press('j');
    const first = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press('Enter');
    await page.waitForFunction((app) => location.hash === `#/app/${app}`, first);
    await page.waitForSelector('.facts');
    await page.goBack();
    await page.waitForSelector('.bar');
    assert.equal(await page.inputValue('#price'), '1000000/h');
    const apps = () => cells(page, 'main table >> nth=1 >> tbody th');
    assert.equal((await apps())[0], 'busy', 'who pays most is first');
    await page.click('[data-sort=app]');
    await page.waitForSelector('th[aria-sort=ascending]');
    const names = await apps();
    assert.ok(names.length > 1);
    assert.deepEqual(names, names.toSorted());
    await page.keyboard.press('/');
    await page.keyboard.type('bus');
    await page.waitForFunction(() => document.querySelector('#found').textContent.startsWith('1 of'));
    assert.deepEqual(await apps(), ['busy']);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('#found').textContent.includes('of'));

    // Shared among all, nothing stands idle any more, and the sum is the same.
    await page.selectOption('#idle', 'even');
    await page.selectOption('#range', '24h');
    await page.click('#terms button');
    await page.waitForFunction(() => location.hash === '#/bill/1000000%2Fh/24h/even');
    await page.waitForSelector('.bar');
    assert.equal(await page.locator('[data-key="(idle)"]').count(), 0);
    await checkSums();
    const kept = await page.evaluate(
      () => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie,
    );
    assert.ok(!kept.includes('1000000'), kept);
  }));

test('bill: tenants, what could be given back, and of whom not all is known', async () => {
  const app = (tenant, name, use, reserved) => ({
    tenant,
    app: name,
    use_millionths: use,
    reserved_millionths: reserved,
    idle_millionths: 0,
    sum_millionths: use + reserved,
  });
  const host = (name, more) => ({
    host: name,
    hourly_millionths: 96_000,
    cost_millionths: 16_128_000,
    seconds: 604_800,
    known_seconds: 604_800,
    ...more,
  });
  const bill = {
    since: '2026-11-20T10:00:00.000Z',
    decimals: 4,
    total_millionths: 48_384_000,
    idle_millionths: 20_000_000,
    unknown_millionths: 4_000_000,
    seconds: 1_814_400,
    known_seconds: 1_609_600,
    apps: [
      app(null, 'gone', 1_000_000, 0),
      app('blog', 'press', 5_160_500, 0),
      app('ops', 'probe', 10_000, 3_990_000),
      app('shop', 'cart', 2_000_000, 100_000),
      app('shop', 'web', 9_123_400, 3_000_100),
    ],
    hosts: [host('ada'), host('bob'), host('eve', { known_seconds: 400_000 })],
    spare: { hosts: ['eve'], hourly_millionths: 96_000, hourly_of_all_millionths: 288_000 },
    sources: { hosts: ['ada', 'bob'], unanswered: [{ host: 'eve', why: 'it is silent' }] },
  };
  const answered = (json) => (page) => page.route('**/v1/bill?*', (route) => route.fulfill({ json }));
  await screen(
    'bill-fleet',
    told.open,
    '#/bill/0.096%2Fh',
    async (page) => {
      await page.waitForSelector('.bar');
      const said = await text(page);
      for (const part of [
        'eve (it is silent)',
        '48.3840 for 3 hosts',
        'of what is known, 39.0% was used',
        '0.288 an hour for all hosts',
        '0.192 an hour without eve: 33.3% less',
        'steerage plan --consolidate',
        'Not all is known of eve',
        'Each table sums to the same total',
      ]) {
        assert.ok(said.includes(part), `${part} is not in ${said}`);
      }
      const tenants = await cells(page, 'main table >> nth=2 >> tbody tr');
      assert.deepEqual(
        tenants.map((row) => row.split(/\s+/).slice(0, 6)),
        [
          ['shop', '2', '11.1234', '3.1001', '0.0000', '14.2235'],
          ['blog', '1', '5.1605', '0.0000', '0.0000', '5.1605'],
          ['ops', '1', '0.0100', '3.9900', '0.0000', '4.0000'],
          ['-', '1', '1.0000', '0.0000', '0.0000', '1.0000'],
        ],
      );
      // Who is gone has no screen to lead to.
      const links = await cells(page, 'main table >> nth=1 >> a');
      assert.deepEqual(links.toSorted(), ['cart', 'press', 'probe', 'web']);
      await axe(page);
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.screenshot({ path: join(told.pictures, 'bill-fleet-dark.png'), fullPage: true });
      await page.emulateMedia({ colorScheme: 'light' });
    },
    { prepare: answered(bill) },
  );
  await screen(
    'bill-unsure',
    told.open,
    '#/bill/0.096%2Fh',
    async (page) => {
      await page.waitForSelector('.bar');
      assert.match(await text(page), /Which hosts are needed is not known/);
      await axe(page);
    },
    { prepare: answered({ ...bill, spare: { ...bill.spare, hosts: null, hourly_millionths: 0 } }) },
  );
});

test('bill: of thousands of apps some rows exist, and more where they are wanted', async () => {
  const apps = Array.from({ length: 3000 }, (_, place) => ({
    tenant: `tenant-${place % 80}`,
    app: `app-${String(place).padStart(4, '0')}`,
    use_millionths: 1000 * place,
    reserved_millionths: 0,
    idle_millionths: 0,
    sum_millionths: 1000 * place,
  }));
  const total = apps.reduce((all, app) => all + app.sum_millionths, 0);
  const host = {
    host: 'ada',
    hourly_millionths: total,
    cost_millionths: total,
    seconds: 3600,
    known_seconds: 3600,
  };
  const bill = {
    since: '2026-11-20T10:00:00.000Z',
    decimals: 2,
    total_millionths: total,
    idle_millionths: 0,
    unknown_millionths: 0,
    seconds: 3600,
    known_seconds: 3600,
    apps,
    hosts: [host],
    spare: { hosts: [], hourly_millionths: 0, hourly_of_all_millionths: total },
  };
  await screen(
    'bill-many',
    told.open,
    '#/bill/1%2Fh',
    async (page) => {
      await page.waitForSelector('.bar');
      const rows = () => page.locator('main table >> nth=1 >> tbody tr').count();
      assert.equal(await rows(), 50);
      assert.match(await text(page), /30 tenants more pay less/);
      await page.click('#more');
      await page.waitForFunction(
        () => document.querySelectorAll('main table:nth-child(1) tbody tr').length >= 250,
      );
      assert.equal(await rows(), 250);
      await page.fill('#filter', 'tenant-7 app-008');
      await page.waitForFunction(() => document.querySelector('#found').textContent.startsWith('1 of 3.0k'));
      assert.deepEqual(await cells(page, 'main table >> nth=1 >> tbody th'), ['app-0087']);
    },
    { prepare: (page) => page.route('**/v1/bill?*', (route) => route.fulfill({ json: bill })) },
  );
});

test('bill: a price that is none, or is missing, is refused in the words of the host', async () => {
  for (const [name, price, part] of [
    ['none', 'cheap', '"cheap" is no price: expected KIND=AMOUNT/h'],
    ['missing', 'huge=1/h', 'has no price: no KIND of a price is its name'],
  ]) {
    await screen(
      `bill-${name}`,
      told.open,
      `#/bill/${encodeURIComponent(price)}`,
      async (page) => {
        await page.waitForSelector('#refused');
        assert.ok((await text(page, '#refused')).includes(part), await text(page, '#refused'));
        assert.equal(await page.inputValue('#price'), price);
        assert.equal(await page.getAttribute('#price', 'aria-invalid'), 'true');
        await axe(page);
        await page.screenshot({ path: join(told.pictures, `bill-${name}-refused.png`) });
        await page.fill('#price', '1000000/h');
        await page.keyboard.press('Enter');
        await page.waitForSelector('.bar');
        assert.equal(await page.locator('#refused').count(), 0);
      },
      { expected: /status of 400/ },
    );
  }
});

test('a narrow window and a dark system', async () => {
  for (const [name, hash, selector] of [
    ['now', '', '.problem'],
    ['hosts', '#/hosts', 'tbody tr'],
    ['apps', '#/apps', '#rows tbody tr'],
    ['app', '#/app/slow', '.plot canvas'],
    ['call', `#/call/${told.call}`, '.bar'],
    ['profile', '#/profile/busy/2/1', '.frame'],
    ['bill', '#/bill/1000000%2Fh', '.bar'],
  ]) {
    await screen(
      `${name}-narrow`,
      told.open,
      hash,
      async (page) => {
        await page.waitForSelector(selector);
        const [wide, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= there, `${name}: ${wide} of ${there}`);
        await axe(page);
        await page.emulateMedia({ colorScheme: 'dark' });
      },
      { viewport: { width: 360, height: 740 } },
    );
  }
});

test('no text of a guest becomes HTML', async () => {
  await screen('hostile-app', told.open, '#/app/loud', async (page) => {
    await page.waitForSelector('pre');
    const said = await text(page);
    // From a real guest's output and a real manifest.
    assert.ok(said.includes('printed <img src=x onerror='), said);
    assert.ok(said.includes('described <img src=x onerror='), said);
    assert.equal(await page.locator('main img, main script').count(), 0);
  });
  // The same with every text that a host tells, whatever it is.
  const poison = (value) =>
    typeof value === 'string' && !/^\d{4}-\d\d-\d\dT/.test(value)
      ? `${value}${HOSTILE}`
      : Array.isArray(value)
        ? value.map(poison)
        : value && typeof value === 'object'
          ? Object.fromEntries(Object.entries(value).map(([key, of]) => [key, poison(of)]))
          : value;
  const all = (page) =>
    page.route('**/v1/**', async (route) => {
      const answer = await route.fetch({ url: route.request().url().replace(encodeURIComponent(HOSTILE), '') });
      await route.fulfill({ response: answer, json: poison(await answer.json()) });
    });
  for (const [name, hash, selector] of [
    ['now', '', '.problem'],
    ['hosts', '#/hosts', 'tbody tr'],
    ['apps', '#/apps', '#rows tbody tr'],
    ['app', '#/app/slow', '.facts'],
    ['call', `#/call/${told.call}`, '.bar'],
    ['profile', '#/profile/busy/2/1', '.frame'],
    ['bill', '#/bill/1000000%2Fh', '.bar'],
  ]) {
    await screen(
      `hostile-${name}`,
      told.open,
      hash,
      async (page) => {
        await page.waitForSelector(selector);
        assert.ok((await text(page)).includes('<img src=x'), `${name} shows no text of a guest`);
        assert.ok((await text(page)).includes('\\u{202e}\\u{7}'), `${name} shows what cannot be seen`);
        assert.ok(!/[\u202e\u0007]/.test(await page.evaluate(() => document.body.textContent)), name);
        assert.equal(await page.locator('main img, main script').count(), 0);
      },
      { prepare: all },
    );
  }
});

test('it asks again while somebody looks, and says when the host is away', async () => {
  let asked = 0;
  let isAway = false;
  // The page's clock goes on only where the test says so.
  const counting = (page) =>
    page.clock.install().then(() =>
      page.route('**/v1/problems?*', (route) => {
        asked += 1;
        return isAway ? route.abort('timedout') : route.fulfill({ json: { problems: [] } });
      }),
    );
  await screen(
    'away',
    told.open,
    '',
    async (page) => {
      await page.waitForSelector('.well');
      await until(async () => {
        await page.clock.runFor(5000);
        return asked >= 3;
      }, 'it asks again');
      await page.evaluate(() => {
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
        document.dispatchEvent(new Event('visibilitychange'));
      });
      // A look that had begun may still end; none begins.
      await page.clock.runFor(5000);
      const before = asked;
      await page.clock.runFor(600_000);
      assert.equal(asked, before, 'it asks while nobody sees the page');
      isAway = true;
      await page.evaluate(() => {
        delete document.hidden;
        document.dispatchEvent(new Event('visibilitychange'));
      });
      await page.waitForFunction(() =>
        document.querySelector('#news').textContent.includes('cannot be reached; what is shown is from before'),
      );
      assert.match(await text(page), /All is well/);
      isAway = false;
      await until(async () => {
        await page.clock.runFor(5000);
        return (await text(page, '#news')) === '';
      }, 'it says that the host is there again');
    },
    { prepare: counting, expected: /ERR_TIMED_OUT/ },
  );
});

test('it asks again within seconds, however long the last look took', async () => {
  let asked = 0;
  let answer;
  const came = new Promise((done) => {
    answer = done;
  });
  // The first answer comes when the test says so, and the page's clock goes on by then.
  const slow = (page) =>
    page.clock.install().then(() =>
      page.route('**/v1/problems?*', async (route) => {
        asked += 1;
        if (asked === 1) await came;
        await route.fulfill({ json: { problems: [] } });
      }),
    );
  await screen(
    'slow',
    told.open,
    '',
    async (page) => {
      await until(() => asked === 1, 'it asks');
      await page.clock.runFor(20_000);
      answer();
      await page.waitForSelector('.well');
      await page.clock.runFor(15_000);
      await until(() => asked >= 2, 'it asks again after 15 s at most');
    },
    { prepare: slow },
  );
});

test('signing in by the token, with a cookie that scripts cannot read', () =>
  screen(
    'sign-in',
    told.closed,
    '#/apps',
    async (page, context) => {
      await page.waitForSelector('#token');
      await axe(page);
      await page.screenshot({ path: join(told.pictures, 'sign-in-form.png') });
      await page.fill('#token', 'not this one');
      await page.keyboard.press('Enter');
      await page.waitForFunction(
        () => document.querySelector('#news').textContent === "this is not the host's token",
      );
      assert.deepEqual(await context.cookies(), []);
      await page.fill('#token', told.token);
      await page.keyboard.press('Enter');
      await page.waitForFunction(() =>
        document.querySelector('main').innerText.includes('No app is deployed yet'),
      );
      assert.equal(await page.evaluate(() => document.cookie), '');
      const [cookie] = await context.cookies();
      assert.deepEqual(
        [cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path],
        ['steerage-session', true, 'Strict', '/'],
      );
      assert.ok(!cookie.value.includes(told.token) && cookie.value.length === 64);
      const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
      assert.ok(!kept.includes(told.token) && !kept.includes(cookie.value), kept);
      // It outlives a reload, and ends where its reader says so.
      await page.reload();
      await page.waitForFunction(() =>
        document.querySelector('main').innerText.includes('No app is deployed yet'),
      );
      await page.click('#sign-out');
      await page.waitForSelector('#token');
      assert.deepEqual(await context.cookies(), []);
      await page.reload();
      await page.waitForSelector('#token');
    },
    { expected: /status of 401/ },
  ));

async function until(isSo, what) {
  const end = Date.now() + PATIENCE;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, `not in ${PATIENCE} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
