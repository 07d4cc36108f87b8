// Numbers, times and texts as people read them. Sizes, counts, durations and ages are in the words of the command
// line, and what cannot be seen is written as it writes it: host/tests/page/words.json holds both to the same.
// Does not make elements.

// What is beyond three digits is cut off, not rounded, so that nothing is said to be more than it is.
function short(number, step, units, gap) {
  let unit = 0;
  let divisor = 1;
  while (number / divisor >= 1000 && unit < units.length - 1) {
    divisor *= step;
    unit += 1;
  }
  const scaled = number / divisor;
  const text = unit === 0 || scaled >= 100 ? Math.floor(scaled) : tenths(scaled);
  return `${text}${units[unit] && gap}${units[unit]}`;
}

const tenths = (number) => (Math.floor(number * 10) / 10).toFixed(1);

export const bytes = (size) => short(size, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], ' ');
export const count = (number) => short(number, 1000, ['', 'k', 'M', 'G', 'T'], '');

export function rate(perSecond) {
  if (perSecond === null) return '';
  if (perSecond === 0 || perSecond >= 10) return count(perSecond);
  return perSecond < 0.1 ? perSecond.toFixed(2) : tenths(perSecond);
}

export function cores(number) {
  return number === 0 ? '0' : number < 0.01 ? '<0.01' : String(Number(number.toFixed(2)));
}

export function duration(us) {
  if (us === null || us === undefined) return '';
  // The page divides times, the command line does not.
  if (us > 0 && us < 1) return '<1 us';
  if (us < 1000) return `${Math.floor(us)} us`;
  if (us < 100_000) return `${tenths(us / 1000)} ms`;
  if (us < 1_000_000) return `${Math.floor(us / 1000)} ms`;
  return us < 60_000_000 ? `${tenths(us / 1_000_000)} s` : age(us / 1_000_000);
}

const UNITS = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
];

// By the two largest units, like 2h5m; from ten of the large unit on the small one does not matter.
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const at = UNITS.findIndex(([unit]) => whole >= unit);
  if (at === -1) return '0s';
  const [[large, name], [small, smallName] = [1, '']] = UNITS.slice(at);
  const amount = Math.floor(whole / large);
  const rest = Math.floor((whole % large) / small);
  return amount >= 10 || rest === 0 ? `${amount}${name}` : `${amount}${name}${rest}${smallName}`;
}

export const since = (at) => age((Date.now() - Date.parse(at)) / 1000);

// The time of day to the second, as all of Steerage tells it: in UTC.
export function clock(at) {
  const text = new Date(at).toISOString();
  return text.slice(0, 10) === new Date().toISOString().slice(0, 10)
    ? `${text.slice(11, 19)}Z`
    : `${text.slice(0, 10)} ${text.slice(11, 19)}Z`;
}

export const many = (number, word) => `${count(number)} ${word}${number === 1 ? '' : 's'}`;

export const shortDigest = (digest) => visible(digest.replace(/^sha256:/, '').slice(0, 12));

// What the command line writes out: controls but for tabs, marks and embeddings of writing direction, separators
// of lines, and characters that are none.
const UNSEEN =
  /[\0-\x08\n-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

// A text of a guest or a client. Line ends stay where `lines` is true; elsewhere a browser would show none.
export function visible(text, lines = false) {
  return String(text ?? '').replace(UNSEEN, (char) =>
    lines && char === '\n' ? char : `\\u{${char.codePointAt(0).toString(16)}}`,
  );
}
