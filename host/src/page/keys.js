// What keys do. Knows rows by `data-row`; what a screen is, `main` knows.

const LINKS = { 1: '#/now', 2: '#/hosts', 3: '#/apps', 4: '#/bill' };

export function listen({ goUp, filter, clearFilter }) {
  const help = document.querySelector('#help');
  document.querySelector('#help-button').addEventListener('click', () => help.showModal());
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.defaultPrevented) return;
    const field = event.target.closest('input, textarea, select');
    if (event.key === 'Escape') {
      if (clearFilter()) event.preventDefault();
      else if (field) field.blur();
      else goUp();
      return;
    }
    if (field) {
      // From the filter straight to the first row.
      if (field.id === 'filter' && (event.key === 'Enter' || event.key === 'ArrowDown')) step(1, event);
      return;
    }
    if (event.key === '/') {
      event.preventDefault();
      filter();
    } else if (event.key === '?') help.showModal();
    else if (event.key === 'j') step(1, event);
    else if (event.key === 'k') step(-1, event);
    else if (LINKS[event.key]) location.hash = LINKS[event.key];
  });
}

// To the next row, or the one before; to the first where none has the focus.
function step(by, event) {
  const rows = [...document.querySelectorAll('[data-row] a, [data-row] button')];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at === -1 ? 0 : at + by];
  if (!next) return;
  event.preventDefault();
  next.focus();
  // Not behind the headings, which stay in view.
  next.closest('tr, article')?.scrollIntoView({ block: 'nearest' });
}
