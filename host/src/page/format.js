// Numbers, times and texts as people read them, in the words of the command line.
// Does not make elements.

function scaled(number, step, units, gap) {
  let unit = 0;
  while (number >= 999.5 && unit < units.length - 1) {
    number /= step;
    unit += 1;
  }
  const text = unit === 0 || number >= 99.95 ? Math.round(number) : number.toFixed(1);
  return `${text}${units[unit] && gap}${units[unit]}`;
}

export const bytes = (size) => scaled(size, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], ' ');
export const count = (number) => scaled(number, 1000, ['', 'k', 'M', 'G', 'T'], '');

export function rate(perSecond) {
  if (perSecond === null) return '';
  return perSecond === 0 || perSecond >= 9.95 ? count(perSecond) : perSecond.toFixed(perSecond < 0.1 ? 2 : 1);
}

export function cores(number) {
  return number === 0 ? '0' : number < 0.01 ? '<0.01' : String(Number(number.toFixed(2)));
}

export function duration(us) {
  if (us === null || us === undefined) return '';
  if (us > 0 && us < 1) return '<1 us';
  if (us < 1000) return `${Math.round(us)} us`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 100_000 ? 1 : 0)} ms`;
  return us < 120_000_000 ? `${(us / 1_000_000).toFixed(1)} s` : age(us / 1_000_000);
}

// By the two largest units, like 2h5m.
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ];
  const first = parts.findIndex(([unit]) => whole >= unit);
  if (first === -1) return '0s';
  const said = parts.slice(first, first + 2).map(([unit, name], place) => {
    const amount = Math.floor((place === 0 ? whole : whole % parts[first][0]) / unit);
    return amount > 0 ? `${amount}${name}` : '';
  });
  // From ten minutes on nobody counts seconds.
  return first === 2 && whole >= 600 ? said[0] : said.join('');
}

export const since = (at) => age((Date.now() - Date.parse(at)) / 1000);

// The time of day, as all of Steerage tells it: in UTC.
export function clock(at) {
  const text = new Date(at).toISOString();
  return text.slice(0, 10) === new Date().toISOString().slice(0, 10)
    ? `${text.slice(11, 19)}Z`
    : `${text.slice(0, 10)} ${text.slice(11, 19)}Z`;
}

export const many = (number, word) => `${count(number)} ${word}${number === 1 ? '' : 's'}`;

export const shortDigest = (digest) => visible(digest.replace(/^sha256:/, '').slice(0, 12));

// A text of a guest or a client: what cannot be seen, or turns the direction of what is around it, is written
// out. Line ends stay where `lines` is true.
export function visible(text, lines = false) {
  return String(text ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) =>
    lines && char === '\n' ? char : `\\u{${char.codePointAt(0).toString(16)}}`,
  );
}
